// What every Node client does, once: a function for each feature of ../features.py. What a client does
// in its own way (recovering, the types it writes) its module says.

import assert from 'node:assert/strict'

import { Inbox, Skipped, WAIT_MILLISECONDS, inTime, pause } from './place.js'

const TRANSIENT = { deliveryMode: 1 }
const PERSISTENT = { deliveryMode: 2 }

async function refused(code, text, action) {
  const error = await action().then(
    () => assert.fail(`not refused with ${code} ${text}`),
    (error) => error,
  )
  assert(error.message.includes(text) && error.message.includes(code), `${error.message}, not ${code} ${text}`)
}

async function roundTrip(place, connection) {
  const channel = await connection.channel()
  const queue = place.name('queue')
  await channel.declareQueue(queue, { exclusive: true })
  assert.equal(await channel.publish('', queue, Buffer.from('hello'), TRANSIENT), 'ack')
  assert.equal((await channel.get(queue, true)).body.toString(), 'hello')
}

// A channel with an exclusive queue of its own.
async function withQueue(place, args = {}) {
  const connection = await place.connect()
  const channel = await connection.channel()
  const queue = place.name('queue')
  await channel.declareQueue(queue, { exclusive: true, arguments: args })
  return { connection, channel, queue }
}

async function send(channel, queue, ...bodies) {
  for (const body of bodies) {
    assert.equal(await channel.publish('', queue, Buffer.from(body), TRANSIENT), 'ack')
  }
}

async function bodies(place, sizes) {
  const { channel, queue } = await withQueue(place)
  await channel.consume(queue)
  for (const size of sizes) {
    const body = Buffer.alloc(size)
    for (let i = 0; i < size; i++) body[i] = (i * 7) % 251
    await send(channel, queue, body)
    const delivery = await channel.next()
    assert(Buffer.compare(delivery.body, body) === 0, `${size} bytes came as ${delivery.body.length}`)
    await channel.ack(delivery)
  }
}

async function afterARestart(place, how) {
  const connection = await place.connect()
  const channel = await connection.channel()
  const [kept, queue, exchange] = ['kept', 'mine', 'exchange'].map((what) => place.name(what))
  await channel.declareQueue(kept, { durable: true })
  for (let i = 0; i < 10; i++) {
    assert.equal(await channel.publish('', kept, Buffer.from(String(i)), PERSISTENT), 'ack')
  }
  const received = new Inbox()
  const recovering = await place.client.recovering(place.url, queue, exchange, 'key', (body) => received.put(body))
  await recovering.publish('before')
  assert.equal(await received.take('a delivery'), 'before')
  await place.ask(how)
  const deadline = Date.now() + WAIT_MILLISECONDS
  for (;;) {
    // While it recovers, publishing fails or finds no queue yet.
    try {
      await inTime('a confirm', recovering.publish('after'))
      break
    } catch (error) {
      if (Date.now() > deadline) throw error
      await pause(100)
    }
  }
  // "before" may come again: its ack may have been on its way.
  while ((await received.take('a delivery after the restart')) !== 'after');
  await recovering.close()
  const fresh = await (await place.connect()).channel()
  for (let i = 0; i < 10; i++) assert.equal((await fresh.get(kept, true)).body.toString(), String(i))
  assert.equal(await fresh.get(kept, true), null)
  for (const name of [kept, queue]) await fresh.deleteQueue(name)
  await fresh.deleteExchange(exchange)
  return 'by itself'
}

export const scenarios = {
  async connect(place) {
    await roundTrip(place, await place.connect())
    const wrong = place.url.replace(':guest@', ':wrong@')
    await refused('403', 'ACCESS_REFUSED - Login was refused', () => place.connect({ url: wrong }))
    const noSuch = place.url.replace('%2F', 'no%20such')
    if (!place.client.tellsWhyNotOpened) {
      await assert.rejects(place.connect({ url: noSuch }))
      return 'does not say why it could not open a vhost'
    }
    await refused('530', 'NOT_ALLOWED - vhost no such not found', () => place.connect({ url: noSuch }))
  },

  async tls(place) {
    const url = place.tlsUrl('AMQPS_URL')
    await roundTrip(place, await place.connect({ url, tls: place.tls('ca.pem') }))
    await assert.rejects(place.connect({ url, tls: place.tls('stranger.pem') }))
  },

  async 'mutual-tls'(place) {
    const url = place.tlsUrl('AMQPS_REQUIRED_URL')
    await roundTrip(place, await place.connect({ url, tls: place.tls('ca.pem', true) }))
    await assert.rejects(place.connect({ url, tls: place.tls('ca.pem') }))
  },

  async topology(place) {
    const { connection, channel, queue } = await withQueue(place, { 'x-max-length': 10 })
    const source = place.name('source')
    await channel.declareExchange(source, 'fanout', {})
    const wanted = { n: 1, s: 'x' }
    const kinds = {
      direct: ['a.b', {}, 'a.b'],
      fanout: ['', {}, 'whatever'],
      topic: ['a.*.#', {}, 'a.b.c.d'],
      headers: ['', { 'x-match': 'all', ...wanted }, ''],
    }
    for (const [kind, [bindingKey, args, key]] of Object.entries(kinds)) {
      const exchange = place.name(kind)
      await channel.declareExchange(exchange, kind, { autoDelete: true })
      await channel.bindQueue(queue, exchange, bindingKey, args)
      await channel.bindExchange(exchange, source, '')
      for (const to of [exchange, source]) {
        await channel.publish(to, key, Buffer.from(kind), { ...TRANSIENT, headers: wanted })
        assert.equal((await channel.get(queue, true)).body.toString(), kind)
      }
      await channel.unbindQueue(queue, exchange, bindingKey, args)
      assert.equal(await channel.get(queue, true), null)
    }
    await channel.deleteExchange(source)
    await send(channel, queue, 'left')
    assert.equal(await channel.ready(queue), 1)
    assert.equal(await channel.purge(queue), 1)
    const unequal =
      `PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '${queue}' in vhost '/': ` +
      "received '11' but current is '10'"
    const options = { exclusive: true, arguments: { 'x-max-length': 11 } }
    let other = await connection.channel()
    await refused('406', unequal, () => other.declareQueue(queue, options))
    await channel.deleteQueue(queue)
    other = await connection.channel()
    await refused('404', `NOT_FOUND - no queue '${queue}' in vhost '/'`, () => other.ready(queue))
    assert.match(await channel.declareQueue('', { exclusive: true }), /^amq\.gen-/)
  },

  async confirms(place) {
    const { channel, queue } = await withQueue(place)
    const publishing = Array.from({ length: 200 }, (_, i) => channel.publish('', queue, Buffer.from(`${i}`), TRANSIENT))
    assert.deepEqual(await inTime('confirms', Promise.all(publishing)), Array(200).fill('ack'))
    assert.equal(await channel.ready(queue), 200)
  },

  async 'confirm-nack'(place) {
    const { channel, queue } = await withQueue(place, { 'x-max-length': 2, 'x-overflow': 'reject-publish' })
    const outcomes = []
    for (let i = 0; i < 4; i++) outcomes.push(await channel.publish('', queue, Buffer.from('x'), TRANSIENT))
    assert.deepEqual(outcomes, ['ack', 'ack', 'nack', 'nack'])
    await channel.get(queue, true)
    await send(channel, queue, 'x')
  },

  async returns(place) {
    const channel = await (await place.connect()).channel()
    const nowhere = place.name('nowhere')
    const outcome = await channel.publish('', nowhere, Buffer.from('x'), { ...TRANSIENT, mandatory: true })
    assert.equal(outcome, 'returned 312 NO_ROUTE')
    await send(channel, nowhere, 'x')
  },

  async consume(place) {
    const { connection, channel, queue } = await withQueue(place)
    const sent = Array.from({ length: 20 }, (_, i) => String(i))
    await send(channel, queue, ...sent.slice(0, 10))
    await channel.consume(queue)
    await send(channel, queue, ...sent.slice(10))
    for (const body of sent) {
      const delivery = await channel.next()
      assert.equal(delivery.body.toString(), body)
      assert.deepEqual([delivery.redelivered, delivery.routingKey], [false, queue])
      await channel.ack(delivery)
    }
    await channel.close()
    assert.equal(await (await connection.channel()).ready(queue), 0)
  },

  async requeue(place) {
    const { connection, channel, queue } = await withQueue(place)
    await send(channel, queue, 'x')
    await channel.consume(queue)
    await channel.nack(await channel.next(), true)
    const again = await channel.next()
    assert(again.redelivered)
    await channel.reject(again, true)
    await channel.nack(await channel.next(), false)
    await send(channel, queue, 'y')
    const last = await channel.next()
    assert.deepEqual([last.body.toString(), last.redelivered], ['y', false])
    await channel.reject(last, false)
    await channel.close()
    assert.equal(await (await connection.channel()).ready(queue), 0)
    return place.client.hasNoReject && 'by nack alone, has no reject'
  },

  async prefetch(place) {
    const { connection, channel, queue } = await withQueue(place)
    const other = await connection.channel()
    await send(channel, queue, ...'0123456789')
    await channel.consume(queue, 3)
    const first = await channel.next()
    for (const body of '12') assert.equal((await channel.next()).body.toString(), body)
    assert.equal(await other.ready(queue), 7)
    await channel.ack(first)
    assert.equal((await channel.next()).body.toString(), '3')
    assert.equal(await other.ready(queue), 6)
  },

  async 'dead-letter'(place) {
    const dead = place.name('dead')
    const args = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }
    const { channel, queue } = await withQueue(place, args)
    await channel.declareQueue(dead, { exclusive: true })
    await channel.consume(dead)
    await send(channel, queue, 'rejected')
    await channel.reject(await channel.get(queue, false), false)
    await channel.publish('', queue, Buffer.from('expired'), { ...TRANSIENT, expiration: '1' })
    for (const reason of ['rejected', 'expired']) {
      const delivery = await channel.next()
      assert.equal(delivery.body.toString(), reason)
      const { time, count, ...death } = delivery.headers['x-death'][0]
      assert.equal(delivery.headers['x-death'].length, 1)
      assert(place.client.isTime(time), `${time} is no time`)
      assert.equal(Number(count), 1)
      const expected = { reason, queue, exchange: '', 'routing-keys': [queue] }
      assert.deepEqual(death, reason === 'expired' ? { ...expected, 'original-expiration': '1' } : expected)
      const first = ['reason', 'queue', 'exchange'].map((what) => delivery.headers[`x-first-death-${what}`])
      assert.deepEqual(first, [reason, queue, ''])
    }
  },

  async cancel(place) {
    if (place.client.hidesCancels) throw new Skipped(place.client.hidesCancels)
    const { connection, channel, queue } = await withQueue(place)
    await channel.consume(queue)
    await (await connection.channel()).deleteQueue(queue)
    await channel.cancelled()
  },

  bodies: (place) => bodies(place, [0, 1, ...[4096, 8192, 131072].flatMap((frame) => [frame - 8, frame - 7])]),

  'body-64-mib': (place) => bodies(place, [64 << 20]),

  async headers(place) {
    const { channel, queue } = await withQueue(place)
    const { sent, received = sent, without } = place.client.headers
    const properties = {
      contentType: 'text/plain', contentEncoding: 'utf-8', priority: 3, correlationId: 'c', replyTo: 'r',
      expiration: '60000', messageId: 'm', type: 't', userId: 'guest', appId: 'a', deliveryMode: 1,
    }
    assert.equal(await channel.publish('', queue, Buffer.alloc(0), { ...properties, headers: sent }), 'ack')
    const delivery = await channel.get(queue, true)
    assert.deepEqual(delivery.headers, received)
    for (const [name, value] of Object.entries(properties)) assert.equal(delivery.properties[name], value, name)
    return without && `without ${without}`
  },

  async unicode(place) {
    const channel = await (await place.connect()).channel()
    const name = place.name('Grüße-κόσμε-世界-🐇')
    const key = 'schlüssel.世界'
    await channel.declareExchange(name, 'direct', { autoDelete: true })
    assert.equal(await channel.declareQueue(name, { exclusive: true }), name)
    await channel.bindQueue(name, name, key, {})
    const properties = { ...TRANSIENT, headers: { ключ: 'значение 🐇' }, messageId: 'ñ', mandatory: true }
    assert.equal(await channel.publish(name, key, Buffer.from('тело'), properties), 'ack')
    const delivery = await channel.get(name, true)
    assert.deepEqual([delivery.exchange, delivery.routingKey, delivery.body.toString()], [name, key, 'тело'])
    assert.deepEqual([delivery.headers, delivery.properties.messageId], [{ ключ: 'значение 🐇' }, 'ñ'])
  },

  async channels(place) {
    const { connection, channel, queue } = await withQueue(place)
    const many = [channel]
    while (many.length < 1000) many.push(await connection.channel())
    for (const [index, each] of many.entries()) await send(each, queue, String(index))
    assert.equal(await channel.ready(queue), 1000)
    for (const each of many) await each.close()
    assert.equal((await (await connection.channel()).get(queue, true)).body.toString(), '0')
  },

  async heartbeat(place) {
    const connection = await place.connect({ heartbeat: 2 })
    await pause(7_000)
    await roundTrip(place, connection)
  },

  async frozen(place) {
    const channel = await (await place.connect()).channel()
    const queue = place.name('queue')
    await channel.declareQueue(queue, {})
    await send(channel, queue, 'held')
    await place.ask(`freeze ${queue}`)
    await channel.consume(queue)
    const delivery = await channel.next()
    assert.deepEqual([delivery.body.toString(), delivery.redelivered], ['held', true])
    await channel.ack(delivery)
    await channel.deleteQueue(queue)
  },

  killed: (place) => afterARestart(place, 'kill'),
  closed: (place) => afterARestart(place, 'stop'),
}
