"""Choose the OS user that runs the embedded PostgreSQL.

PostgreSQL refuses to run as root. So root runs it as another user, or in a user namespace in which
root has another uid. For an existing data folder its owner decides.
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
# The folder for root's data if no other user can access DRIP_HOME and user namespaces are not
# allowed (a container with the checkout under /root, mode 0700).
REACHABLE_FOLDER = Path("/var/lib/drip-pipeline")
_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that runs the programs: the current one, that of `uid` and `gid`, or the current one
    in a user namespace."""

    uid: int | None = None
    gid: int | None = None
    in_namespace: bool = False

    def run(
        self, command: Sequence[str], *, output: Path, timeout_seconds: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as this user and append its output to a file.

        Not to a pipe: a server started by the program inherits it, and reading would block until
        the server stops.
        """
        prefix = _NAMESPACE if self.in_namespace else ()
        with output.open("ab") as sink:
            return subprocess.run(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd="/",  # the current folder may be inaccessible to the other user
                env=_environment(),
                timeout=timeout_seconds,
                check=False,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                # Ctrl-C in the terminal must not end a program that starts or stops the server.
                start_new_session=True,
            )

    def give(self, path: Path) -> None:
        """Make this user the owner of a path."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
class Placement:
    """The user, binaries and folder of a server."""

    identity: Identity
    binaries: Binaries
    folder: Path


def make_passable(folder: Path) -> None:
    """Create a folder with mode 0755 whatever the umask: another user may run the server."""
    if not folder.exists():
        make_passable(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def place(binaries: Binaries, folder: Path) -> Placement:
    """Choose user and binaries for an existing server folder.

    For root, `folder` may be replaced by a link to an accessible folder. Raises EmbeddedServerError
    if root cannot run PostgreSQL as any other user.
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
        "PostgreSQL does not run as root, and no other user can run it here",
        hint="Run the command as a normal user, or set DRIP_HOME to a folder that the user "
        "`nobody` can access, or set DRIP_DATABASE_URL to a running server.",
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
                hint="Give that user access to both, or set DRIP_DATABASE_URL.",
            )
        binaries = copied
    return Placement(identity, binaries, folder)


def _candidate_users() -> list[Identity]:
    users = []
    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        users.append(Identity(entry.pw_uid, entry.pw_gid))
    return users


def _reaches(identity: Identity, binaries: Binaries, folder: Path) -> bool:
    """Return whether the user can run the binaries and write into a folder of its own there."""
    probe = folder / "probe"
    try:
        probe.mkdir(exist_ok=True)
        identity.give(probe)
        check = 'test -w "$1" && cd "$1" && "$2" --version'
        return _succeeds(
            identity, ["/bin/sh", "-c", check, "sh", str(probe), binaries.program("initdb")]
        )
    except OSError:
        return False  # a file system without owners
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
    """Replace the empty server folder by a link to one below REACHABLE_FOLDER, and copy the
    binaries there."""
    target = REACHABLE_FOLDER / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    try:
        make_passable(target)
        if (target / "data").exists():
            # Left by a deleted DRIP_HOME of the same path, and its password with it.
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
    """Copy the binaries into the server's folder, with the libraries beside a wheel's package."""
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
    """Return only PATH and a fixed locale: PG* variables would redirect the programs, and locale
    variables would change the cluster."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
