// Every command of commands.json through node-redis, whose replies go to standard output; then its own ways.
import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import { createClient } from 'redis';

const [, , port, file] = process.argv;
const url = `redis://127.0.0.1:${port}`;
const client = createClient({ url, RESP: 2 });
client.on('error', () => {});  // It connects again by itself.
await client.connect();
const replies = [];
for (const [command] of JSON.parse(readFileSync(file, 'utf8'))) {
  try {
    replies.push(await client.sendCommand(command));
  } catch (error) {
    replies.push({ error: error.message });
  }
}
await client.select(0);

const modern = createClient({ url, RESP: 3 });
modern.on('error', () => {});
await modern.connect();
await Promise.all([...Array(1000).keys()].map((i) => modern.set(`many:${i}`, String(i))));
const values = await Promise.all([...Array(1000).keys()].map((i) => modern.get(`many:${i}`)));
assert.deepEqual(values, [...Array(1000).keys()].map(String));
assert.equal((await modern.configGet('databases')).databases, '16');

assert.deepEqual(await client.multi().set('tx', '1').incr('tx').exec(), ['OK', 2]);
await client.watch('tx');
await modern.set('tx', 'changed');
await assert.rejects(client.multi().set('tx', 'lost').exec(), /watch/i);

assert.deepEqual(await client.eval("return {KEYS[1], ARGV[1]}", { keys: ['key'], arguments: ['value'] }), ['key', 'value']);

const id = await client.sendCommand(['CLIENT', 'ID']);
assert.equal(await modern.sendCommand(['CLIENT', 'KILL', 'ID', String(id)]), 1);
await new Promise((done) => setTimeout(done, 100));
assert.equal(await client.get('tx'), 'changed');  // By a new connection.
const keys = [];
for await (const some of modern.scanIterator({ MATCH: 'many:*', COUNT: 50 })) keys.push(...[some].flat());
assert.equal(new Set(keys).size, 1000);
console.log(JSON.stringify(replies));
await Promise.all([client.close(), modern.close()]);
