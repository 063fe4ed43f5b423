// pg-boss: a queue a node, jobs fetched, completed and handed on in batches.
// node pgboss_drip.mjs URL fill PEOPLE   |   node pgboss_drip.mjs URL work BATCH
import PgBoss from 'pg-boss';

const NODES = ['start', 'mail', 'pause', 'score', 'end'];
const [url, task, size] = process.argv.slice(2);
const boss = new PgBoss({ connectionString: url, max: 4, supervise: false, schedule: false });
await boss.start();

const hand = async (node, people) => {
  for (let at = 0; at < people.length; at += 2000) {
    await boss.insert(people.slice(at, at + 2000).map((person) => ({ name: node, data: { person } })));
  }
};

if (task === 'fill') {
  for (const node of NODES) await boss.createQueue(node);
  await hand('start', Array.from({ length: Number(size) }, (_, n) => n));
} else {
  console.log('ready');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  let done = 0;
  let latest = Date.now();
  for (let idle = 0; idle < 20; ) {
    let moved = 0;
    for (const [at, node] of NODES.entries()) {
      const jobs = await boss.fetch(node, { batchSize: Number(size) });
      if (!jobs.length) continue;
      moved += jobs.length;
      if (at + 1 < NODES.length) await hand(NODES[at + 1], jobs.map((job) => job.data.person));
      else done += jobs.length;
      await boss.complete(node, jobs.map((job) => job.id));
      latest = Date.now();
    }
    if (moved) idle = 0;
    else {
      idle += 1;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  console.log(`${done} ${latest}`);
}
await boss.stop({ graceful: false, wait: false });
process.exit(0);
