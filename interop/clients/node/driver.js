// The Node drivers: `driver.js CLIENT` runs scenarios with that client and prints a line for each.
//
// In come the broker's URLs and FEATURES from the environment (see ../README.md), out go JSON lines.
// `driver.js CLIENT frozen QUEUE` is the client that will stand still.

import { Place, Skipped } from './place.js'
import { scenarios } from './scenarios.js'

const CLIENTS = {
  amqplib: './client_amqplib.js',
  'amqp-connection-manager': './client_manager.js',
  '@cloudamqp/amqp-client': './client_cloudamqp.js',
}

const [name, role, queue] = process.argv.slice(2)
const place = new Place(await import(CLIENTS[name]))

if (role === 'frozen') {
  // Holds a message of the queue, unacked: the one who started us stops this process.
  const channel = await (await place.connect({ heartbeat: 1 })).channel()
  await channel.consume(queue)
  await channel.next()
  console.log(JSON.stringify({ ready: queue }))
} else {
  for (const feature of process.env.FEATURES.split(',')) {
    console.log(JSON.stringify({ feature, ...(await outcome(feature)) }))
  }
  process.exit(0)
}

async function outcome(feature) {
  try {
    return { result: 'ok', text: (await scenarios[feature](place)) ?? '' }
  } catch (error) {
    if (error instanceof Skipped) return { result: 'skip', text: error.message }
    console.error(error)
    return { result: 'fail', text: `${error.stack.match(/scenarios.js:\d+/)?.[0] ?? ''} ${error.message}` }
  } finally {
    await place.tidy()
  }
}
