// Where a scenario runs: a client, a broker's URLs, fresh names, and whoever can restart the broker.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

// How long anything that must come is waited for.
export const WAIT_MILLISECONDS = 20_000

// The client or the broker at hand cannot do it; the message says why.
export class Skipped extends Error {}

// What comes is kept until somebody takes it.
export class Inbox {
  #came = []
  #waiting = []

  put(it) {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(it)
    else this.#came.push(it)
  }

  take(what) {
    if (this.#came.length) return Promise.resolve(this.#came.shift())
    return inTime(what, new Promise((resolve) => this.#waiting.push(resolve)))
  }
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

// A promise that must be kept in time.
export async function inTime(what, promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come`)), WAIT_MILLISECONDS)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

export class Place {
  url = process.env.AMQP_URL
  #opened = []
  #made = 0
  #answers

  constructor(client) {
    this.client = client
  }

  async connect({ url = this.url, ...options } = {}) {
    const connection = await inTime('a connection', this.client.connect(url, options))
    this.#opened.push(connection)
    return connection
  }

  name(what) {
    return `fleet-${what}-${process.pid}-${++this.#made}`
  }

  // TLS options that trust this CA and show a certificate of ours, if asked to.
  tls(ca, certificate) {
    const file = (name) => readFileSync(`${process.env.CERTS}/${name}`)
    return { ca: [file(ca)], ...(certificate && { cert: file('client.pem'), key: file('client.key') }) }
  }

  tlsUrl(variable) {
    if (!process.env[variable]) throw new Skipped(`no ${variable}`)
    return process.env[variable]
  }

  // Has the broker killed or stopped and started again, or a second client frozen.
  async ask(what) {
    if (!process.env.FLEET_ASKS) throw new Skipped('nobody here who can restart the broker or freeze a client')
    this.#answers ??= createInterface({ input: process.stdin })
    const answered = once(this.#answers, 'line')
    console.log(JSON.stringify({ ask: what }))
    const [answer] = await answered
    if (answer !== 'done') throw new Error(answer)
  }

  // Closes what the scenario left open, whatever state it is in.
  async tidy() {
    const closing = this.#opened.splice(0).map(async (connection) => connection.close())
    await Promise.race([Promise.allSettled(closing), pause(2_000)])
  }
}
