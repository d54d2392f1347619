// @cloudamqp/amqp-client as the scenarios want it: AMQPClient, and AMQPSession where it recovers.

import { AMQPClient, AMQPSession } from '@cloudamqp/amqp-client'

import { Inbox } from './place.js'

export const tellsWhyNotOpened = true

export async function connect(url, { heartbeat = 60, tls } = {}) {
  const client = new AMQPClient(`${url}?heartbeat=${heartbeat}`, tls, null)
  client.onerror = () => {} // whoever uses it hears of it at the next call
  const connection = await client.connect()
  return {
    async channel() {
      const channel = await connection.channel()
      await channel.confirmSelect()
      return new Channel(channel)
    },
    close: () => connection.close(),
  }
}

class Channel {
  #came = new Inbox()
  #returned = []

  constructor(channel) {
    this.channel = channel
    channel.onerror = () => {}
    channel.onReturn = (message) => this.#returned.push(`returned ${message.replyCode} ${message.replyText}`)
  }

  async declareQueue(name, { durable = false, exclusive = false, arguments: args = {} }) {
    return (await this.channel.queueDeclare(name, { durable, exclusive, autoDelete: false }, args)).name
  }

  async ready(queue) {
    return (await this.channel.queueDeclare(queue, { passive: true })).messageCount
  }

  async purge(queue) {
    return (await this.channel.queuePurge(queue)).messageCount
  }

  declareExchange(name, kind, { durable = false, autoDelete = false }) {
    return this.channel.exchangeDeclare(name, kind, { durable, autoDelete })
  }

  bindQueue(queue, exchange, key, args) {
    return this.channel.queueBind(queue, exchange, key, args)
  }

  unbindQueue(queue, exchange, key, args) {
    return this.channel.queueUnbind(queue, exchange, key, args)
  }

  bindExchange(destination, source, key) {
    return this.channel.exchangeBind(destination, source, key)
  }

  deleteQueue(queue) {
    return this.channel.queueDelete(queue)
  }

  deleteExchange(exchange) {
    return this.channel.exchangeDelete(exchange)
  }

  async publish(exchange, key, body, { mandatory = false, ...properties }) {
    try {
      await this.channel.basicPublish(exchange, key, body, properties, mandatory)
    } catch (error) {
      if (error.message === 'Message rejected') return 'nack'
      throw error
    }
    return this.#returned.pop() ?? 'ack'
  }

  async get(queue, noAck) {
    const message = await this.channel.basicGet(queue, { noAck })
    return message ? deliveryOf(message) : null
  }

  async consume(queue, prefetch) {
    if (prefetch) await this.channel.prefetch(prefetch)
    this.consumer = await this.channel.basicConsume(queue, { noAck: false }, (m) => this.#came.put(deliveryOf(m)))
    // It is told by the promise of its end.
    this.ended = this.consumer.wait().catch((error) => error)
    return this.consumer.tag
  }

  next() {
    return this.#came.take('a delivery')
  }

  async cancelled() {
    const error = await this.ended
    if (!/cancel/i.test(error?.message)) throw new Error(`the consumer ended with ${error}`)
  }

  ack({ message }) {
    return message.ack()
  }

  nack({ message }, requeue) {
    return message.nack(requeue)
  }

  reject({ message }, requeue) {
    return message.reject(requeue)
  }

  close() {
    return this.channel.close()
  }
}

function deliveryOf(message) {
  const { redelivered, exchange, routingKey } = message
  const { headers, ...properties } = message.properties
  return { message, body: Buffer.from(message.body ?? []), redelivered, exchange, routingKey, properties, headers }
}

export const headers = {
  sent: {
    true: true, int: -2_000_000_000, long: 2 ** 40, float: 0.5, 'long string': 'x'.repeat(1_000),
    bytes: new Uint8Array([0, 255, 254]), time: new Date(1767323045000), nothing: null,
    list: [1, 'two', null, { four: true }], table: { a: { b: { c: [1] } }, empty: {} },
  },
  without: 'decimals, small integers and small doubles, which it does not write',
}

export function isTime(value) {
  return value instanceof Date
}

// A session consumes again from the queues that it knows.
export async function recovering(url, queue, exchange, key, received) {
  const session = await AMQPSession.connect(url, { reconnectInterval: 100, maxReconnectInterval: 500, logger: null })
  const to = await session.exchange(exchange, 'direct', { durable: true })
  const from = await session.queue(queue, { durable: true })
  await from.bind(to, key)
  await from.subscribe({ noAck: false, manualAck: true }, async (message) => {
    await message.ack()
    received(message.bodyString())
  })
  return {
    publish: (body) => to.publish(body, { routingKey: key, confirm: true }),
    close: () => session.stop(),
  }
}
