// pg-boss: a queue a node; a job a person and step, fetched in batches. What is done with a batch
// (complete its jobs, send the jobs of the next step) is one transaction, so that a crash neither
// loses nor doubles a step; jobs are in logged tables, with pg-boss's own retries and expiry.
// With `log`, that transaction also writes an event a step and the message, as an application on
// pg-boss would that wants to know what it did.
// node pgboss_drip.mjs URL fill PEOPLE   |   node pgboss_drip.mjs URL work BATCH [log]
import pg from 'pg';
import PgBoss from 'pg-boss';

const NODES = ['start', 'mail', 'pause', 'score', 'end'];
const [url, task, size, extra] = process.argv.slice(2);
const boss = new PgBoss({ connectionString: url, max: 4, supervise: false, schedule: false });
await boss.start();

const LOG = [
  `CREATE TABLE drip_events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person integer NOT NULL,
     node text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())`,
  'CREATE INDEX ON drip_events (person)',
  'CREATE TABLE drip_messages (person integer PRIMARY KEY, recipient text, subject text, body text)',
];

const jobsOf = (node, people) => people.map((person) => ({ name: node, data: { person } }));

const log = async (client, node, people) => {
  await client.query(
    'INSERT INTO drip_events (person, node) SELECT p, $2 FROM unnest($1::integer[]) p', [people, node]);
  if (node !== 'mail') return;
  await client.query(
    'INSERT INTO drip_messages SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[])',
    [people, people.map((p) => `p${p}@example.com`), people.map((p) => `Hello Person ${p}`),
      people.map((p) => `Dear Person ${p}, how is Company ${p % 100}? https://mail.example.com/u/${p}`)]);
};

if (task === 'fill') {
  for (const node of NODES) await boss.createQueue(node);
  const people = Array.from({ length: Number(size) }, (_, n) => n);
  for (let at = 0; at < people.length; at += 2000) {
    await boss.insert(jobsOf(NODES[0], people.slice(at, at + 2000)));
  }
  for (const statement of LOG) await boss.getDb().executeSql(statement);
} else {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const db = { executeSql: (text, values) => client.query(text, values) };
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
      const people = jobs.map((job) => job.data.person);
      await client.query('BEGIN');
      if (extra === 'log') await log(client, node, people);
      if (at + 1 < NODES.length) await boss.insert(jobsOf(NODES[at + 1], people), { db });
      else done += jobs.length;
      await boss.complete(node, jobs.map((job) => job.id), undefined, { db });
      await client.query('COMMIT');
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
