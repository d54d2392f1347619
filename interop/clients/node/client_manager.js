// amqp-connection-manager as the scenarios want it: its channel wrappers, which look much like amqplib's
// channels.

import manager from 'amqp-connection-manager'

import { Channel, confirmed, take, topology } from './client_amqplib.js'

export { headers, isTime, tellsWhyNotOpened } from './client_amqplib.js'

export const hasNoReject = true

export const hidesCancels = 'consumes again by itself and tells nobody'

export async function connect(url, { heartbeat = 60, tls } = {}) {
  const connection = manager.connect([url], {
    heartbeatIntervalInSeconds: heartbeat,
    reconnectTimeInSeconds: 0.2,
    connectionOptions: { ...tls, servername: 'localhost' },
  })
  connection.on('disconnect', () => {})
  try {
    // It would try for ever.
    await new Promise((resolve, reject) => {
      connection.once('connect', resolve)
      connection.once('connectFailed', ({ err }) => reject(err))
    })
  } catch (error) {
    await connection.close()
    throw error
  }
  return {
    async channel() {
      const wrapper = connection.createChannel({ confirm: true })
      const channel = new ManagedChannel(wrapper)
      await wrapper.addSetup((plain) => channel.listen(plain))
      await wrapper.waitForConnect()
      return channel
    },
    close: () => connection.close(),
  }
}

class ManagedChannel extends Channel {
  confirmed(exchange, key, body, options) {
    return this.channel.publish(exchange, key, body, options).then(
      () => 'ack',
      () => 'nack',
    )
  }

  reject(delivery, requeue) {
    return this.nack(delivery, requeue)
  }

  async consume(queue, prefetch) {
    return (await this.channel.consume(queue, (message) => this.received(message), { prefetch })).consumerTag
  }
}

export async function recovering(url, queue, exchange, key, received) {
  const connection = manager.connect([url], { reconnectTimeInSeconds: 0.2 })
  const wrapper = connection.createChannel({
    confirm: true,
    setup: (channel) => topology(channel, queue, exchange, key),
  })
  await wrapper.waitForConnect()
  await wrapper.consume(queue, (message) => take(wrapper, message, received))
  const channel = new ManagedChannel(wrapper)
  return {
    publish: (body) => channel.publish(exchange, key, Buffer.from(body), { mandatory: true }).then(confirmed),
    close: () => connection.close(),
  }
}
