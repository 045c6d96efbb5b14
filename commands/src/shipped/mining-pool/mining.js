'use strict';
// A small mining pool on a regtest chain: a node, a pool that hands out work over a protocol like stratum, a miner, and a
// payout that is checked on the chain. Everything listens on the loopback interface alone and writes into one folder.
// Node and pool speak JSON-RPC, so that the node may be bcoin, which is started here, or bitcoind, which is not.

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const net = require('net');
const path = require('path');

const settings = {};
for (const word of process.argv.slice(3)) {
  const [, name, value] = /^--([a-z0-9_]+)=(.*)$/.exec(word) || [];
  if (!name) fail(`\`${word}\` is no setting`);
  settings[name] = value;
}
const dir = settings.data;
if (!dir) fail('nothing says where the data is');
const file = name => path.join(dir, name);
const HOST = '127.0.0.1';
const COIN = 100000000;
const MATURITY = 100;
const POLL_MS = 50;

function fail(message) {
  console.log(`error: ${message}`);
  process.exit(1);
}
const number = name => {
  const value = Number(settings[name]);
  if (!Number.isFinite(value)) fail(`${name} is ${settings[name]}, which is no number`);
  return value;
};
const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
const sha256 = data => crypto.createHash('sha256').update(data).digest();
const twice = data => sha256(sha256(data));
const reversed = data => Buffer.from(data).reverse();
const hex = text => Buffer.from(text, 'hex');

// Written only once it is true: whoever waits for the file knows that the service is there.
function ready(name) {
  fs.writeFileSync(file(`${name}.pid`), `${process.pid}\n`);
}

// ---- requests to the node -------------------------------------------------------------------------------------------

function rpc(method, params = []) {
  const body = JSON.stringify({ id: 1, method, params });
  const auth = `bitcoinrpc:${fs.readFileSync(file('token'), 'utf8').trim()}`;
  const options = {
    host: HOST, port: number('rpc_port'), method: 'POST', path: '/', auth, agent: false,
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
  };
  return new Promise((resolve, reject) => {
    const request = http.request(options, answer => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', part => { text += part; });
      answer.on('end', () => {
        try {
          const { result, error } = JSON.parse(text);
          if (error) reject(new Error(`${method}: ${error.message}`));
          else resolve(result);
        } catch (_) {
          reject(new Error(`${method}: the node answered ${answer.statusCode} ${text.slice(0, 100)}`));
        }
      });
    });
    request.on('error', reject);
    request.setTimeout(10000, () => request.destroy(new Error(`${method}: the node does not answer`)));
    request.end(body);
  });
}

// ---- keys and transactions ------------------------------------------------------------------------------------------

function wallet(name) {
  const place = file(`${name}.key`);
  if (!fs.existsSync(place)) {
    const made = crypto.createECDH('secp256k1');
    made.generateKeys();
    fs.writeFileSync(place, made.getPrivateKey('hex').padStart(64, '0'), { mode: 0o600 });
  }
  const secret = hex(fs.readFileSync(place, 'utf8').trim());
  const curve = crypto.createECDH('secp256k1');
  curve.setPrivateKey(secret);
  const key = curve.getPublicKey(null, 'compressed');
  const id = crypto.createHash('ripemd160').update(sha256(key)).digest();
  // Whoever has the key with this hash may spend it.
  const script = Buffer.concat([hex('76a914'), id, hex('88ac')]);
  const whole = curve.getPublicKey(null, 'uncompressed');
  const part = data => data.toString('base64url');
  const jwk = { kty: 'EC', crv: 'secp256k1', d: part(secret), x: part(whole.subarray(1, 33)), y: part(whole.subarray(33)) };
  return { name, key, script, sign: crypto.createPrivateKey({ key: jwk, format: 'jwk' }) };
}

const u32 = value => { const out = Buffer.alloc(4); out.writeUInt32LE(value >>> 0); return out; };
const u64 = value => { const out = Buffer.alloc(8); out.writeBigUInt64LE(BigInt(value)); return out; };
function size(value) {
  if (value < 0xfd) return Buffer.from([value]);
  const out = Buffer.from([0xfd, 0, 0]);
  out.writeUInt16LE(value, 1);
  return out;
}
const sized = data => Buffer.concat([size(data.length), data]);
const output = ({ value, script }) => Buffer.concat([u64(value), sized(script)]);
const outputs = list => Buffer.concat([size(list.length), ...list.map(output)]);

function height(value) {
  if (value <= 16) return Buffer.from([0x50 + value]);
  const bytes = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.push(rest % 256);
  if (bytes[bytes.length - 1] & 0x80) bytes.push(0);
  return sized(Buffer.from(bytes));
}

// The transaction that pays the reward, as it is hashed and as it is in the block.
function coinbase(template, script, extra) {
  const paid = [{ value: template.coinbasevalue, script }];
  // A commitment to witnesses is wrong while the chain does not know them yet.
  const active = (template.rules || []).some(rule => rule.replace('!', '') === 'segwit');
  const commitment = active && template.default_witness_commitment;
  if (commitment) paid.push({ value: 0, script: hex(commitment) });
  const words = Buffer.concat([height(template.height), sized(extra)]);
  const input = Buffer.concat([size(1), Buffer.alloc(32), u32(0xffffffff), sized(words), u32(0xffffffff)]);
  const plain = Buffer.concat([u32(1), input, outputs(paid), u32(0)]);
  if (!commitment) return { id: twice(plain), raw: plain };
  const witness = Buffer.concat([size(1), sized(Buffer.alloc(32))]);
  return { id: twice(plain), raw: Buffer.concat([u32(1), hex('0001'), input, outputs(paid), witness, u32(0)]) };
}

// One coin of a wallet becomes outputs.
function spend(from, coin, paid) {
  const tx = script => Buffer.concat([
    u32(1), size(1), reversed(hex(coin.txid)), u32(coin.index), sized(script), u32(0xffffffff), outputs(paid), u32(0),
  ]);
  const signed = crypto.sign('sha256', sha256(Buffer.concat([tx(from.script), u32(1)])), from.sign);
  const signature = Buffer.concat([low(signed), Buffer.from([1])]);
  return tx(Buffer.concat([sized(signature), sized(from.key)]));
}

// Of the two signatures there are, nodes pass on the one with the smaller number.
function low(der) {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const r = der.subarray(4, 4 + der[3]);
  let s = BigInt(`0x${der.subarray(6 + der[3]).toString('hex')}`);
  if (s > order / 2n) s = order - s;
  let text = s.toString(16);
  if (text.length % 2) text = `0${text}`;
  if (parseInt(text.slice(0, 2), 16) & 0x80) text = `00${text}`;
  const inner = Buffer.concat([Buffer.from([2, r.length]), r, Buffer.from([2, text.length / 2]), hex(text)]);
  return Buffer.concat([Buffer.from([0x30, inner.length]), inner]);
}

function root(ids) {
  let level = ids;
  while (level.length > 1) {
    const next = [];
    for (let at = 0; at < level.length; at += 2) next.push(twice(Buffer.concat([level[at], level[at + 1] || level[at]])));
    level = next;
  }
  return level[0];
}

const reaches = (header, target) => Buffer.compare(reversed(twice(header)), target) <= 0;

// ---- the node -------------------------------------------------------------------------------------------------------

async function node() {
  let bcoin;
  let memory = false;
  try {
    const entry = require.resolve('bcoin', { paths: [settings.bcoin || dir, __dirname] });
    // What is native may not have been built; the same in JavaScript is quick enough for a chain of a hundred blocks.
    process.env.NODE_BACKEND = 'js';
    memory = !hasDisk(entry);
    bcoin = require(entry);
  } catch (error) {
    fail(`bcoin cannot be loaded: ${error.message.split('\n')[0]}`);
  }
  const options = {
    network: 'regtest', prefix: dir, memory, config: false, env: false, argv: false,
    httpHost: HOST, httpPort: number('rpc_port'), apiKey: fs.readFileSync(file('token'), 'utf8').trim(),
    host: HOST, port: number('p2p_port'), listen: false, logConsole: false, logLevel: 'error', workers: false,
  };
  const made = new bcoin.FullNode(options);
  made.on('error', error => console.log(`node: ${error.message}`));
  // It would keep an old template for ten seconds, without the payout that somebody waits for.
  made.on('tx', () => made.rpc.refreshBlock());
  await made.ensure();
  await made.open();
  console.log(`bcoin on regtest, chain ${memory ? 'in memory' : 'on disk'}, height ${made.chain.height}, requests at ${HOST}:${settings.rpc_port}`);
  ready('node');
  leave('node', () => made.close());
}

// Whether bcoin's database for disks can be loaded: it is native and may not have been built. In memory it is not needed,
// but asked for all the same, so something stands in its place.
function hasDisk(entry) {
  const place = require.resolve('bdb/lib/level.js', { paths: [path.dirname(entry)] });
  try {
    require(place);
    return true;
  } catch (_) {
    require.cache[place] = { id: place, filename: place, loaded: true, exports: class {} };
    return false;
  }
}

// Ends in order when it is told to.
function leave(name, close) {
  let over = false;
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, async () => {
      if (over) return;
      over = true;
      try {
        await close();
      } catch (error) {
        console.log(`${name}: ${error.message}`);
      }
      fs.rmSync(file(`${name}.pid`), { force: true });
      process.exit(0);
    });
  }
}

// ---- the pool -------------------------------------------------------------------------------------------------------

async function pool() {
  const { script } = wallet('pool');
  const goal = number('blocks');
  const clients = new Set();
  const books = fs.existsSync(file('shares.json')) ? JSON.parse(fs.readFileSync(file('shares.json'), 'utf8')) : {};
  let template = null;
  let count = 0;

  // One thing after the other: nobody is handed what another is just making stale.
  let last = Promise.resolve();
  const queued = work => { last = last.then(work).catch(error => console.log(`pool: ${error.message}`)); return last; };

  // Blocks are made up to the goal, and then whenever somebody wants something in one.
  const wanted = () => template && (template.height <= goal || template.transactions.length > 0);

  function hand(client) {
    if (!wanted() || !client.worker) return;
    count += 1;
    const extra = Buffer.alloc(8);
    extra.writeUInt32LE(client.number, 0);
    extra.writeUInt32LE(count, 4);
    const paid = coinbase(template, script, extra);
    const ids = template.transactions.map(tx => reversed(hex(tx.txid || tx.hash)));
    const header = Buffer.concat([
      u32(template.version), reversed(hex(template.previousblockhash)), root([paid.id, ...ids]),
      u32(Math.max(template.curtime, template.mintime || 0)), reversed(hex(template.bits)),
    ]);
    client.job = { id: String(count), header, paid, template };
    send(client, { method: 'mining.notify', params: [client.job.id, header.toString('hex'), template.target, template.height] });
  }

  async function look() {
    const found = await rpc('getblocktemplate', [{ rules: ['segwit'] }]);
    const changed = !template || found.previousblockhash !== template.previousblockhash ||
      found.transactions.length !== template.transactions.length;
    if (changed) {
      template = found;
      for (const client of clients) hand(client);
    }
  }

  async function submit(client, [worker, id, nonce]) {
    const job = client.job;
    if (!job || job.id !== id) return 'the job is stale';
    if (!/^[0-9a-f]{8}$/.test(nonce)) return 'the nonce is no number';
    const header = Buffer.concat([job.header, hex(nonce)]);
    if (!reaches(header, hex(job.template.target))) return 'the share is too easy';
    client.job = null;
    const all = [job.paid.raw, ...job.template.transactions.map(tx => hex(tx.data))];
    const block = Buffer.concat([header, size(all.length), ...all]);
    const refused = await rpc('submitblock', [block.toString('hex')]);
    template = null;
    if (refused) return `the node refused the block: ${refused}`;
    const best = await rpc('getbestblockhash');
    if (best !== reversed(twice(header)).toString('hex')) return 'another block was quicker';
    books[worker] = (books[worker] || 0) + 1;
    fs.writeFileSync(file('shares.json.new'), JSON.stringify(books));
    fs.renameSync(file('shares.json.new'), file('shares.json'));
    return null;
  }

  async function told(client, { id, method, params = [] }) {
    let error = null;
    if (method === 'mining.subscribe') { /* There is nothing to agree about. */ }
    else if (method === 'mining.authorize') client.worker = String(params[0]);
    else if (method === 'mining.submit') error = await submit(client, params).catch(problem => problem.message);
    else error = `there is no method ${method}`;
    send(client, { id, result: !error, error });
    if (method === 'mining.submit') await look();
    if (method === 'mining.authorize') hand(client);
  }

  const server = net.createServer(socket => {
    const client = { socket, number: clients.size + 1, worker: null, job: null };
    clients.add(client);
    lines(socket, message => queued(() => told(client, message)));
    socket.on('close', () => clients.delete(client));
  });
  server.on('error', error => fail(`the pool cannot listen: ${error.message}`));
  await look();
  await new Promise(resolve => server.listen(number('stratum_port'), HOST, resolve));
  console.log(`the pool hands out work at ${HOST}:${settings.stratum_port}`);
  ready('pool');
  leave('pool', () => server.close());
  for (;;) {
    await wait(POLL_MS);
    await queued(look);
  }
}

const send = (client, message) => client.socket.write(`${JSON.stringify(message)}\n`);

// Messages are lines; one that is none ends the connection.
function lines(socket, then) {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('data', part => {
    const parts = (rest + part).split('\n');
    rest = parts.pop();
    if (rest.length > 65536) socket.destroy();
    for (const line of parts) {
      try {
        then(JSON.parse(line));
      } catch (_) {
        socket.destroy();
      }
    }
  });
}

// ---- the miner ------------------------------------------------------------------------------------------------------

async function miner() {
  const socket = net.connect(number('stratum_port'), HOST);
  const client = { socket };
  let id = 0;
  const call = (method, params) => send(client, { id: (id += 1), method, params });
  socket.on('connect', () => {
    call('mining.subscribe', []);
    call('mining.authorize', ['worker', 'x']);
    console.log(`mining for the pool at ${HOST}:${settings.stratum_port}`);
    ready('miner');
  });
  socket.on('error', error => fail(`the pool cannot be reached: ${error.message}`));
  socket.on('close', () => {
    fs.rmSync(file('miner.pid'), { force: true });
    fail('the pool has gone');
  });
  lines(socket, ({ method, params, error }) => {
    if (error) console.log(`refused: ${error}`);
    if (method !== 'mining.notify') return;
    const [job, prefix, target] = params;
    const header = Buffer.concat([hex(prefix), Buffer.alloc(4)]);
    for (let nonce = 0; nonce <= 0xffffffff; nonce += 1) {
      header.writeUInt32LE(nonce, 76);
      if (reaches(header, hex(target))) {
        call('mining.submit', ['worker', job, header.subarray(76).toString('hex')]);
        return;
      }
    }
  });
  leave('miner', () => socket.destroy());
}

// ---- what is checked ------------------------------------------------------------------------------------------------

async function until(what, done) {
  const end = Date.now() + number('timeout') * 1000;
  for (;;) {
    const found = await done();
    if (found) return found;
    if (Date.now() > end) fail(`${what} did not come within ${settings.timeout} seconds`);
    await wait(POLL_MS);
  }
}

async function mined() {
  const goal = number('blocks');
  await until(`block ${goal}`, async () => (await rpc('getblockcount')) >= goal);
  const shares = JSON.parse(fs.readFileSync(file('shares.json'), 'utf8'));
  console.log(`${await rpc('getblockcount')} blocks; shares: ${Object.entries(shares).map(([who, n]) => `${who} ${n}`).join(', ')}`);
}

// The first reward of the pool that can be spent and is not yet.
async function reward(from, top) {
  for (let at = 1; at + MATURITY <= top; at += 1) {
    const block = await rpc('getblock', [await rpc('getblockhash', [at])]);
    const out = await rpc('gettxout', [block.tx[0], 0]);
    if (out && out.coinbase && out.scriptPubKey.hex === from.script.toString('hex')) {
      return { txid: block.tx[0], index: 0, value: Math.round(out.value * COIN), height: at };
    }
  }
  return fail(`the pool has no reward that can be spent at height ${top}`);
}

async function payout() {
  const amount = Math.round(number('amount') * COIN);
  const [from, to] = [wallet('pool'), wallet('worker')];
  const coin = await reward(from, await rpc('getblockcount'));
  const fee = 10000;
  if (amount <= 0 || amount + fee > coin.value) fail(`${settings.amount} cannot be paid out of a reward of ${coin.value / COIN}`);
  const raw = spend(from, coin, [
    { value: amount, script: to.script }, { value: coin.value - amount - fee, script: from.script },
  ]);
  const sent = await rpc('sendrawtransaction', [raw.toString('hex')]);
  const txid = reversed(twice(raw)).toString('hex');
  if (sent !== txid) fail(`the node knows the payout as ${sent}, and it is ${txid}`);
  // The chain says what the worker has, not we.
  const out = await until('the confirmation of the payout', async () => {
    const found = await rpc('gettxout', [txid, 0, false]);
    return found && found.confirmations > 0 ? found : null;
  });
  if (out.scriptPubKey.hex !== to.script.toString('hex')) fail('the payout went to somebody else');
  if (Math.round(out.value * COIN) !== amount) fail(`the worker has ${out.value} and should have ${settings.amount}`);
  if (await rpc('gettxout', [coin.txid, coin.index])) fail('the reward that was paid out is still there');
  const top = await rpc('getblockcount');
  console.log(`payout ${txid} of ${out.value} from the reward of block ${coin.height} is confirmed at height ${top}; the worker has ${out.value}`);
}

async function answers() {
  console.log(`the node answers: height ${await rpc('getblockcount')}`);
}

async function wallets() {
  for (const name of ['pool', 'worker']) console.log(`${name}: ${wallet(name).script.toString('hex')}`);
}

const verbs = { node, pool, miner, mined, payout, answers, wallets };
const verb = verbs[process.argv[2]];
if (!verb) fail(`there is no ${process.argv[2]}; there are: ${Object.keys(verbs).join(', ')}`);
verb().catch(error => fail(error.message));
