// amqplib as the scenarios want it: its promise API.

import amqp from 'amqplib'

import { Inbox } from './place.js'

export const tellsWhyNotOpened = false

export async function connect(url, { heartbeat = 60, tls } = {}) {
  const connection = await amqp.connect(`${url}?heartbeat=${heartbeat}`, { ...tls, servername: 'localhost' })
  connection.on('error', () => {}) // whoever uses it hears of it at the next call
  return {
    async channel() {
      return new Channel(await connection.createConfirmChannel())
    },
    close: () => connection.close(),
  }
}

// What a message or an error of amqplib is to everybody.
export class Channel {
  #came = new Inbox()
  #cancels = new Inbox()
  #returned = new Map()
  #published = 0

  constructor(channel) {
    this.channel = channel
    this.listen(channel)
  }

  listen(channel) {
    channel.on('error', () => {}) // whoever uses it hears of it from the call that failed
    channel.on('return', ({ fields, properties }) => {
      this.#returned.set(properties.correlationId, `returned ${fields.replyCode} ${fields.replyText}`)
    })
  }

  async declareQueue(name, { durable = false, exclusive = false, arguments: args = {} }) {
    return (await this.channel.assertQueue(name, { durable, exclusive, arguments: args })).queue
  }

  async ready(queue) {
    return (await this.channel.checkQueue(queue)).messageCount
  }

  async purge(queue) {
    return (await this.channel.purgeQueue(queue)).messageCount
  }

  declareExchange(name, kind, { durable = false, autoDelete = false }) {
    return this.channel.assertExchange(name, kind, { durable, autoDelete })
  }

  bindQueue(queue, exchange, key, args) {
    return this.channel.bindQueue(queue, exchange, key, args)
  }

  unbindQueue(queue, exchange, key, args) {
    return this.channel.unbindQueue(queue, exchange, key, args)
  }

  bindExchange(destination, source, key) {
    return this.channel.bindExchange(destination, source, key)
  }

  deleteQueue(queue) {
    return this.channel.deleteQueue(queue)
  }

  deleteExchange(exchange) {
    return this.channel.deleteExchange(exchange)
  }

  // A return says what came back, not which publish it was: the correlation id does.
  async publish(exchange, key, body, { mandatory, ...properties }) {
    const correlationId = properties.correlationId ?? `${++this.#published}`
    const outcome = await this.confirmed(exchange, key, body, { correlationId, mandatory, ...properties })
    const returned = this.#returned.get(correlationId)
    this.#returned.delete(correlationId)
    return returned ?? outcome
  }

  confirmed(exchange, key, body, options) {
    return new Promise((resolve) => {
      this.channel.publish(exchange, key, body, options, (error) => resolve(error ? 'nack' : 'ack'))
    })
  }

  async get(queue, noAck) {
    const message = await this.channel.get(queue, { noAck })
    return message ? deliveryOf(message) : null
  }

  async consume(queue, prefetch) {
    if (prefetch) await this.channel.prefetch(prefetch)
    return (await this.channel.consume(queue, (message) => this.received(message))).consumerTag
  }

  received(message) {
    if (message) this.#came.put(deliveryOf(message))
    else this.#cancels.put('cancelled')
  }

  next() {
    return this.#came.take('a delivery')
  }

  cancelled() {
    return this.#cancels.take('a cancel')
  }

  ack(delivery) {
    return this.channel.ack(delivery.message)
  }

  nack(delivery, requeue) {
    return this.channel.nack(delivery.message, false, requeue)
  }

  reject(delivery, requeue) {
    return this.channel.reject(delivery.message, requeue)
  }

  close() {
    return this.channel.close()
  }
}

function deliveryOf(message) {
  const { redelivered, exchange, routingKey } = message.fields
  const { headers, ...properties } = message.properties
  return { message, body: message.content, redelivered, exchange, routingKey, properties, headers }
}

const typed = (type, value) => ({ '!': type, value })

// amqplib gives integers and floats as numbers, times and decimals as it takes them.
const PLAIN = {
  true: true, 'long string': 'x'.repeat(10_000), bytes: Buffer.from([0, 255, 254]), null: null,
  list: [1, 'two', null, { four: true }], table: { a: { b: { c: [1] } }, empty: {} },
  time: typed('timestamp', 1767323045), decimal: typed('decimal', { places: 2, digits: 314 }),
}

const NUMBERS = {
  int8: -100, uint8: 200, int16: -30_000, uint16: 60_000, int32: -2_000_000_000, uint32: 4_000_000_000,
  int64: -(2 ** 50), float: 0.5, double: 0.1,
}

export const headers = {
  sent: {
    ...PLAIN,
    ...Object.fromEntries(Object.entries(NUMBERS).map(([type, value]) => [type, typed(type, value)])),
  },
  received: { ...PLAIN, ...NUMBERS },
}

export function isTime(value) {
  return value['!'] === 'timestamp'
}

// With amqplib's recovery, what there has to be is said in a setup function.
export async function recovering(url, queue, exchange, key, received) {
  let channel
  const connection = await amqp.connect(url, {
    recovery: {
      initialDelay: 100,
      maxDelay: 500,
      async setup(model) {
        model.on('error', () => {})
        channel = await model.createConfirmChannel()
        await topology(channel, queue, exchange, key)
        await channel.consume(queue, (message) => take(channel, message, received))
      },
    },
  })
  connection.on('error', () => {})
  return {
    publish: (body) => new Channel(channel).publish(exchange, key, Buffer.from(body), { mandatory: true }).then(confirmed),
    close: () => connection.close(),
  }
}

export async function topology(channel, queue, exchange, key) {
  channel.on('error', () => {})
  await channel.assertQueue(queue, { durable: true })
  await channel.assertExchange(exchange, 'direct', { durable: true })
  await channel.bindQueue(queue, exchange, key)
}

export function take(channel, message, received) {
  if (!message) return
  channel.ack(message)
  received(message.content.toString())
}

export function confirmed(outcome) {
  if (outcome !== 'ack') throw new Error(outcome)
}
