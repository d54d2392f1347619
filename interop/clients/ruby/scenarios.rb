# What bunny does: a method for each feature of ../features.py, which gives a remark on what the client
# left out, or nothing.

class Scenarios
  def initialize(place)
    @place = place
  end

  def connect
    round_trip(@place.connect)
    wrong = @place.url.sub(':guest@', ':wrong@')
    no_such = @place.url.sub('%2F', 'no%20such')
    why = raised { @place.connect(url: wrong, recovery_attempts: 0) }
    same(true, why.is_a?(Bunny::AuthenticationFailureError))
    why = raised { @place.connect(url: no_such, recovery_attempts: 0) }
    same('NOT_ALLOWED - vhost no such not found', why.message[/NOT_ALLOWED.*/])
    'has words of its own for a wrong password'
  end

  def tls
    round_trip(@place.connect(**@place.tls('AMQPS_URL', ca: 'ca.pem')))
    stranger = @place.tls('AMQPS_URL', ca: 'stranger.pem')
    raised { @place.connect(**stranger) }
    nil
  end

  def mutual_tls
    round_trip(@place.connect(**@place.tls('AMQPS_REQUIRED_URL', ca: 'ca.pem', certificate: true)))
    without = @place.tls('AMQPS_REQUIRED_URL', ca: 'ca.pem')
    raised { @place.connect(**without) }
    nil
  end

  def topology
    connection = @place.connect
    c = Hearing.new(connection)
    queue, source = %w[queue source].map { |what| @place.name(what) }
    c.declare(queue, 'x-max-length' => 10)
    c.channel.exchange_declare(source, 'fanout')
    wanted = { 'n' => 1, 's' => 'x' }
    kinds = {
      'direct' => ['a.b', {}, 'a.b'],
      'fanout' => ['', {}, 'whatever'],
      'topic' => ['a.*.#', {}, 'a.b.c.d'],
      'headers' => ['', wanted.merge('x-match' => 'all'), '']
    }
    kinds.each do |kind, (binding_key, arguments, key)|
      exchange = @place.name(kind)
      c.channel.exchange_declare(exchange, kind, auto_delete: true)
      c.channel.queue_bind(queue, exchange, routing_key: binding_key, arguments: arguments)
      c.channel.exchange_bind(source, exchange, routing_key: '')
      [exchange, source].each do |to|
        same('ack', c.publish(to, key, kind, persistent: false, headers: wanted))
        same(kind, c.get(queue).body)
      end
      c.channel.queue_unbind(queue, exchange, routing_key: binding_key, arguments: arguments)
      same(nil, c.get(queue))
    end
    c.channel.exchange_delete(source)
    c.send_to(queue, 'left')
    same(1, c.ready(queue))
    same(1, c.channel.queue_purge(queue).message_count)
    why = raised { Hearing.new(connection).declare(queue, 'x-max-length' => 11) }
    same("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '#{queue}' in vhost '/': " \
         "received '11' but current is '10'", why.message)
    c.channel.queue_delete(queue)
    why = raised { Hearing.new(connection).ready(queue) }
    same([Bunny::NotFound, "NOT_FOUND - no queue '#{queue}' in vhost '/'"], [why.class, why.message])
    same(true, c.channel.queue('', exclusive: true).name.start_with?('amq.gen-'))
    nil
  end

  def confirms
    c, queue = with_queue
    heard = []
    c.channel.confirm_select(->(tag, multiple, nack) { heard << [tag, multiple, nack] })
    200.times { |i| c.channel.basic_publish(i.to_s, '', queue, persistent: false) }
    same(true, c.channel.wait_for_confirms)
    confirmed = heard.sort.each_with_object([]) do |(tag, multiple, nack), tags|
      same(false, nack)
      tags.concat(multiple ? ((tags.last.to_i + 1)..tag).to_a : [tag])
    end
    same((1..200).to_a, confirmed.sort)
    same(200, c.ready(queue))
    nil
  end

  def confirm_nack
    c, queue = with_queue('x-max-length' => 2, 'x-overflow' => 'reject-publish')
    same(%w[ack ack nack nack], Array.new(4) { c.publish('', queue, 'x') })
    c.get(queue)
    c.send_to(queue, 'x')
    nil
  end

  def returns
    c = Hearing.new(@place.connect)
    nowhere = @place.name('nowhere')
    same('returned 312 NO_ROUTE', c.publish('', nowhere, 'x', persistent: false, mandatory: true))
    c.send_to(nowhere, 'x')
    nil
  end

  def consume
    c, queue, connection = with_queue
    10.times { |i| c.send_to(queue, i.to_s) }
    c.consume(queue)
    10.times { |i| c.send_to(queue, (10 + i).to_s) }
    20.times do |i|
      delivery = c.next
      same([i.to_s, false, queue], [delivery.body, delivery.redelivered, delivery.info.routing_key])
      c.ack(delivery)
    end
    c.channel.close
    same(0, Hearing.new(connection).ready(queue))
    nil
  end

  def requeue
    c, queue, connection = with_queue
    c.send_to(queue, 'x')
    c.consume(queue)
    c.channel.nack(c.next.info.delivery_tag, false, true)
    again = c.next
    same(true, again.redelivered)
    c.channel.reject(again.info.delivery_tag, true)
    c.channel.nack(c.next.info.delivery_tag, false, false)
    c.send_to(queue, 'y')
    last = c.next
    same(['y', false], [last.body, last.redelivered])
    c.channel.reject(last.info.delivery_tag, false)
    c.channel.close
    same(0, Hearing.new(connection).ready(queue))
    nil
  end

  def prefetch
    c, queue, connection = with_queue
    other = Hearing.new(connection)
    10.times { |i| c.send_to(queue, i.to_s) }
    c.channel.basic_qos(3)
    c.consume(queue)
    first = c.next
    same(%w[1 2], [c.next.body, c.next.body])
    same(7, other.ready(queue))
    c.ack(first)
    same('3', c.next.body)
    same(6, other.ready(queue))
    nil
  end

  def dead_letter
    dead = @place.name('dead')
    c, queue = with_queue('x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => dead)
    c.declare(dead)
    c.consume(dead)
    c.send_to(queue, 'rejected')
    c.channel.reject(c.get(queue, manual_ack: true).info.delivery_tag, false)
    c.publish('', queue, 'expired', persistent: false, expiration: '1')
    %w[rejected expired].each do |reason|
      delivery = c.next
      same(reason, delivery.body)
      deaths = delivery.headers['x-death']
      same(1, deaths.size)
      death = deaths.first
      same(true, death.delete('time').is_a?(Time))
      same(reason == 'expired' ? '1' : nil, death.delete('original-expiration'))
      same({ 'count' => 1, 'reason' => reason, 'queue' => queue, 'exchange' => '', 'routing-keys' => [queue] }, death)
      same([reason, queue, ''], %w[reason queue exchange].map { |what| delivery.headers["x-first-death-#{what}"] })
    end
    nil
  end

  def cancel
    c, queue, connection = with_queue
    tag = c.consume(queue)
    Hearing.new(connection).channel.queue_delete(queue)
    same(tag, c.cancelled)
    nil
  end

  def bodies
    exchange_bodies(0, 1, *[4096, 8192, 131_072].flat_map { |frame| [frame - 8, frame - 7] })
  end

  def body_64_mib
    exchange_bodies(64 << 20)
  end

  def headers
    c, queue = with_queue
    sent = {
      'true' => true, 'integer' => -(2**62), 'small integer' => 1, 'double' => 0.1,
      'string' => 'x' * 10_000, 'time' => Time.at(1_767_323_045), 'nil' => nil,
      'list' => [1, 'two', nil, { 'four' => true }], 'table' => { 'a' => { 'b' => { 'c' => [1] } }, 'empty' => {} }
    }
    properties = {
      content_type: 'text/plain', content_encoding: 'utf-8', priority: 3, correlation_id: 'c', reply_to: 'r',
      expiration: '60000', message_id: 'm', type: 't', user_id: 'guest', app_id: 'a', timestamp: 1_767_323_045
    }
    same('ack', c.publish('', queue, '', persistent: false, headers: sent, **properties))
    delivery = c.get(queue)
    same(sent, delivery.headers)
    properties.each { |name, value| same(name == :timestamp ? Time.at(value) : value, delivery.properties[name]) }
    same(1, delivery.properties[:delivery_mode])
    'integers of 64 bits only; without decimals and bytes'
  end

  def unicode
    c = Hearing.new(@place.connect)
    name = @place.name('Grüße-κόσμε-世界-🐇')
    key = 'schlüssel.世界'
    c.channel.exchange_declare(name, 'direct', auto_delete: true)
    # bunny knows its queue again by bytes alone.
    same(name, plain(c.declare(name.b).name))
    c.channel.queue_bind(name, name, routing_key: key)
    options = { persistent: false, mandatory: true, headers: { 'ключ' => 'значение 🐇' }, message_id: 'ñ' }
    same('ack', c.publish(name, key, 'тело', options))
    delivery = c.get(name)
    got = [delivery.info.exchange, delivery.info.routing_key, delivery.body, delivery.properties[:message_id]]
    same([name, key, 'тело', 'ñ'], got.map { |text| plain(text) })
    same({ 'ключ' => 'значение 🐇' }, delivery.headers.to_h { |header, value| [plain(header), plain(value)] })
    nil
  end

  def channels
    connection = @place.connect
    many = Array.new(1000) { Hearing.new(connection) }
    queue = @place.name('queue')
    many.first.declare(queue)
    many.each_with_index { |c, i| c.send_to(queue, i.to_s) }
    same(1000, many.first.ready(queue))
    many.each { |c| c.channel.close }
    same('0', Hearing.new(connection).get(queue).body)
    nil
  end

  def heartbeat
    connection = @place.connect(heartbeat: 2)
    sleep 7
    round_trip(connection)
    nil
  end

  def frozen
    c = Hearing.new(@place.connect)
    queue = @place.name('queue')
    c.channel.queue(queue)
    c.send_to(queue, 'held')
    @place.ask("freeze #{queue}")
    c.consume(queue)
    delivery = c.next
    same(['held', true], [delivery.body, delivery.redelivered])
    c.ack(delivery)
    c.channel.queue_delete(queue)
    nil
  end

  def killed
    after_a_restart('kill')
  end

  def closed
    after_a_restart('stop')
  end

  private

  def same(expected, actual)
    raise "expected #{expected.inspect}, got #{actual.inspect}" unless expected == actual
  end

  def raised
    yield
  rescue Skipped
    raise
  rescue StandardError => e
    e
  else
    raise 'it went well'
  end

  # What comes is bytes.
  def plain(text)
    text.dup.force_encoding('UTF-8')
  end

  # A channel, an exclusive queue on it, and its connection.
  def with_queue(arguments = {})
    connection = @place.connect
    c = Hearing.new(connection)
    queue = @place.name('queue')
    c.declare(queue, arguments)
    [c, queue, connection]
  end

  def round_trip(connection)
    c = Hearing.new(connection)
    queue = @place.name('queue')
    c.declare(queue)
    c.send_to(queue, 'hello')
    same('hello', c.get(queue).body)
  end

  def exchange_bodies(*sizes)
    c, queue = with_queue
    c.consume(queue)
    pattern = (0...251).map { |i| i * 7 % 251 }.pack('C*')
    sizes.each do |size|
      body = (pattern * (size / 251 + 1)).byteslice(0, size)
      c.send_to(queue, body)
      delivery = c.next
      raise "#{size} bytes came as #{delivery.body.bytesize}" unless delivery.body.b == body

      c.ack(delivery)
    end
    nil
  end

  def after_a_restart(how)
    connection = @place.connect
    c = Hearing.new(connection)
    publisher = Hearing.new(connection)
    kept, exchange, mine = %w[kept exchange mine].map { |what| @place.name(what) }
    c.channel.queue(kept, durable: true)
    10.times { |i| same('ack', c.publish('', kept, i.to_s, persistent: true)) }
    # A queue of this connection, its binding and its consumer have to come back by themselves.
    direct = c.channel.direct(exchange, durable: true)
    c.channel.queue(mine, exclusive: true).bind(direct, routing_key: 'key')
    c.consume(mine)
    same('ack', publisher.publish(exchange, 'key', 'before'))
    c.ack(c.next)
    @place.ask(how)
    deadline = Time.now + WAIT_SECONDS
    sleep 0.1 until published(publisher, exchange) || Time.now > deadline
    delivery = c.next
    delivery = c.next while delivery.body == 'before'
    same('after', delivery.body)
    c.ack(delivery)
    fresh = Hearing.new(@place.connect)
    10.times { |i| same(i.to_s, fresh.get(kept).body) }
    same(nil, fresh.get(kept))
    fresh.channel.queue_delete(kept)
    fresh.channel.exchange_delete(exchange)
    'by itself'
  end

  # While bunny recovers, publishing fails or finds no queue yet.
  def published(publisher, exchange)
    publisher.publish(exchange, 'key', 'after', persistent: false, mandatory: true) == 'ack'
  rescue StandardError
    false
  end
end
