// Every command of commands.json through ioredis, whose replies go to standard output; then its own ways.
import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import Redis from 'ioredis';

const [, , port, file] = process.argv;
const client = new Redis({ host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: 5 });
const replies = [];
for (const [command] of JSON.parse(readFileSync(file, 'utf8'))) {
  try {
    replies.push(await client.call(...command));
  } catch (error) {
    replies.push({ error: error.message });
  }
}
await client.select(0);

const pipeline = client.pipeline();
for (let i = 0; i < 1000; ++i) pipeline.set(`many:${i}`, i);
for (let i = 0; i < 1000; ++i) pipeline.get(`many:${i}`);
const results = await pipeline.exec();
assert(results.every(([error]) => error === null));
assert.deepEqual(results.slice(1000).map(([, value]) => value), [...Array(1000).keys()].map(String));

assert.deepEqual(await client.multi().set('tx', '1').incr('tx').exec(), [[null, 'OK'], [null, 2]]);
const other = new Redis({ host: '127.0.0.1', port: Number(port) });
await client.watch('tx');
await other.set('tx', 'changed');
assert.equal(await client.multi().set('tx', 'lost').exec(), null);

const buffers = Buffer.from([0, 255, 13, 10, 128]);
await client.set('bytes', buffers);
assert(buffers.equals(await client.getBuffer('bytes')));

client.defineCommand('release', { numberOfKeys: 1, lua: "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0" });
assert.equal(await client.set('lock', 'mine', 'PX', 10000, 'NX'), 'OK');
assert.equal(await client.release('lock', 'not mine'), 0);
assert.equal(await client.release('lock', 'mine'), 1);

const id = await client.call('CLIENT', 'ID');
assert.equal(await other.call('CLIENT', 'KILL', 'ID', id), 1);
assert.equal(await client.get('tx'), 'changed');  // By a new connection.
const keys = [];
for await (const some of client.scanStream({ match: 'many:*', count: 50 })) keys.push(...some);
assert.equal(new Set(keys).size, 1000);
console.log(JSON.stringify(replies));
await Promise.all([client.quit(), other.quit()]);
