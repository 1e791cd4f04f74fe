#!/usr/bin/env node
// Pay one invoice from Node, without a package: a Celery message into Redis, and the result out of it.
//
//   REDIS_URL=redis://:password@host:6379/0 node pay.mjs PORTAL INVOICE PAY_SYSTEM [ID]
//
// Prints the payment's id at once and its result at the end. Exit code: 0 paid, 1 refused, 75 no result yet.
// ID is yours to choose (your order's number, a UUID). Keep it before you send: when you do not know whether a message
// has arrived, send the same one again. The same id with the same content is the same payment, never a second one.

import { randomUUID } from "node:crypto";
import net from "node:net";
import tls from "node:tls";

const QUEUE = "payments";
const WAIT_MS = 120_000;
const LOOK_MS = 250;

// A message of Celery's protocol 2, byte for byte as message.json has it.
export function message(id, payment) {
  const after = { callbacks: null, errbacks: null, chain: null, chord: null };
  const body = JSON.stringify([[], payment, after]);
  return JSON.stringify({
    body: Buffer.from(body).toString("base64"),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    headers: {
      lang: "js",
      task: "tasks.pay_invoice",
      id,
      root_id: id,
      parent_id: null,
      group: null,
      retries: 0,
      eta: null,
      expires: null,
    },
    properties: {
      correlation_id: id,
      delivery_mode: 2,
      delivery_info: { exchange: "", routing_key: QUEUE },
      priority: 0,
      body_encoding: "base64",
      delivery_tag: id,
    },
  });
}

// A Unix socket's URL has no host, which `URL` does not take; an error of `URL` would show the password.
function address(url) {
  const whole = (url ?? "").replace(/^(redis\+socket:\/\/[^/]*)\//, (_, start) => `${start}localhost/`);
  if (!URL.canParse(whole)) throw new Error("REDIS_URL is missing or cannot be read");
  return new URL(whole);
}

// As much of Redis' protocol as two commands need.
export class Redis {
  constructor(url) {
    const { protocol, hostname, port, pathname, password, username } = address(url);
    const place = protocol === "redis+socket:" ? { path: pathname } : { host: hostname, port: Number(port || 6379) };
    this.socket = protocol === "rediss:" ? tls.connect({ ...place, servername: hostname }) : net.connect(place);
    this.waiting = [];
    this.read = Buffer.alloc(0);
    this.socket.on("data", (data) => this.take(data));
    this.socket.on("error", (error) => this.fail(error));
    this.socket.on("close", () => this.fail(new Error("Redis closed the connection")));
    const words = [username, password].filter(Boolean).map(decodeURIComponent);
    const database = protocol === "redis+socket:" ? "" : pathname.slice(1);
    this.ready = Promise.all([
      words.length ? this.send("AUTH", ...words) : null,
      database ? this.send("SELECT", database) : null,
    ]);
  }

  async ask(...words) {
    await this.ready;
    return this.send(...words);
  }

  send(...words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.socket.write(`*${words.length}\r\n${parts.join("")}`);
    });
  }

  take(data) {
    this.read = Buffer.concat([this.read, data]);
    for (let reply = this.reply(); reply; reply = this.reply()) {
      const { resolve, reject } = this.waiting.shift();
      reply.error ? reject(new Error(reply.error)) : resolve(reply.value);
    }
  }

  // The next whole reply, or null while its end has not come.
  reply() {
    const end = this.read.indexOf("\r\n");
    if (end < 0) return null;
    const kind = String.fromCharCode(this.read[0]);
    const line = this.read.toString("utf8", 1, end);
    const size = kind === "$" ? Number(line) : -1;
    const next = size < 0 ? end + 2 : end + 2 + size + 2;
    if (this.read.length < next) return null;
    const text = size < 0 ? line : this.read.toString("utf8", end + 2, next - 2);
    this.read = this.read.subarray(next);
    if (kind === "-") return { error: text };
    return { value: kind === "$" && size < 0 ? null : text };
  }

  fail(error) {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  close() {
    this.socket.end();
  }
}

// The result under Celery's key for it, or null while the payment is not decided.
export async function result(redis, id) {
  const meta = JSON.parse((await redis.ask("GET", `celery-task-meta-${id}`)) ?? "null");
  return ["SUCCESS", "FAILURE", "REVOKED"].includes(meta?.status) ? meta : null;
}

async function main([portal, invoice, paySystem, id = randomUUID()]) {
  if (!paySystem) {
    console.error("usage: REDIS_URL=… node pay.mjs PORTAL INVOICE PAY_SYSTEM [ID]");
    return 2;
  }
  const redis = new Redis(process.env.REDIS_URL);
  try {
    const payment = { portal, invoice_id: Number(invoice), pay_system_id: Number(paySystem) };
    await redis.ask("LPUSH", QUEUE, message(id, payment));
    console.log(id);
    for (const end = Date.now() + WAIT_MS; Date.now() < end; ) {
      const meta = await result(redis, id);
      if (meta) {
        console.log(JSON.stringify(meta.result));
        return meta.status === "SUCCESS" ? 0 : 1;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return 75;
  } finally {
    redis.close();
  }
}

if (import.meta.url === `file://${process.argv[1]}`) process.exitCode = await main(process.argv.slice(2));
