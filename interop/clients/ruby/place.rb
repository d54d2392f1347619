# Where a scenario runs: the broker's URLs, fresh names, and whoever can restart the broker.

require 'bunny'
require 'timeout'

# How long anything that must come is waited for.
WAIT_SECONDS = 20

# The client or the broker at hand cannot do it; the message says why.
class Skipped < StandardError; end

class Place
  @made = 0
  class << self
    attr_accessor :made
  end

  attr_reader :url

  def initialize
    @url = ENV.fetch('AMQP_URL')
    @opened = []
  end

  def connect(url: @url, **options)
    quiet = Logger.new($stderr, level: Logger::FATAL)
    # Once it is open, what the broker closes is told by the call that fails, not raised in this thread.
    opened = false
    thread = Thread.current
    handler = Object.new
    handler.define_singleton_method(:raise) { |*error| thread.raise(*error) unless opened }
    connection = Bunny.new(
      url, logger: quiet, network_recovery_interval: 0.2, recover_from_connection_close: true,
           session_error_handler: handler, **options
    )
    connection.start
    opened = true
    @opened << connection
    connection
  end

  def tls(variable, ca:, certificate: false)
    url = ENV[variable].to_s
    raise Skipped, "no #{variable}" if url.empty?

    certs = ENV.fetch('CERTS')
    options = { tls_ca_certificates: ["#{certs}/#{ca}"], verify_peer: true, recovery_attempts: 0 }
    options.merge!(tls_cert: "#{certs}/client.pem", tls_key: "#{certs}/client.key") if certificate
    { url: url, **options }
  end

  def name(what)
    "fleet-#{what}-#{Process.pid}-#{self.class.made += 1}"
  end

  # Has the broker killed or stopped and started again, or a second client frozen.
  def ask(what)
    raise Skipped, 'nobody here who can restart the broker or freeze a client' unless ENV['FLEET_ASKS']

    say(ask: what)
    answer = $stdin.gets.to_s.strip
    raise answer unless answer == 'done'
  end

  # Closes what the scenario left open, whatever state it is in.
  def tidy
    @opened.each do |connection|
      Timeout.timeout(2) { connection.close(false) }
    rescue Exception # it was the scenario's business to fail
      nil
    end
  end
end

Delivery = Struct.new(:info, :properties, :body) do
  def redelivered
    info.redelivered?
  end

  def headers
    properties[:headers] || {}
  end
end

# A channel in confirm mode with what it hears: returns, deliveries, cancels.
class Hearing
  TRANSIENT = { persistent: false }.freeze

  attr_reader :channel

  def initialize(connection)
    @channel = connection.create_channel
    @channel.confirm_select
    @came = Queue.new
    @cancels = Queue.new
    @returned = []
    @channel.default_exchange.on_return { |back, _, _| @returned << "returned #{back.reply_code} #{back.reply_text}" }
  end

  # An exclusive queue.
  def declare(queue, arguments = {})
    @channel.queue(queue, exclusive: true, arguments: arguments)
  end

  def ready(queue)
    @channel.queue_declare(queue, passive: true).message_count
  end

  # Publishes one; "ack", "nack" or what came back.
  def publish(exchange, key, body, options = TRANSIENT)
    @channel.basic_publish(body, exchange, key, options.dup) # bunny changes them
    acked = @channel.wait_for_confirms
    @returned.shift || (acked ? 'ack' : 'nack')
  end

  def send_to(queue, body)
    outcome = publish('', queue, body)
    raise "it was #{outcome}" unless outcome == 'ack'
  end

  # Gets one; nil if there is none.
  def get(queue, manual_ack: false)
    info, properties, body = @channel.basic_get(queue, manual_ack: manual_ack)
    info && Delivery.new(info, properties, body)
  end

  def consume(queue)
    consumer = Bunny::Consumer.new(@channel, queue, @channel.generate_consumer_tag, false)
    consumer.on_delivery { |info, properties, body| @came << Delivery.new(info, properties, body) }
    consumer.on_cancellation { |cancel| @cancels << cancel.consumer_tag }
    @channel.basic_consume_with(consumer)
    consumer.consumer_tag
  end

  def next
    Timeout.timeout(WAIT_SECONDS, nil, 'a delivery did not come') { @came.pop }
  end

  def cancelled
    Timeout.timeout(WAIT_SECONDS, nil, 'a cancel did not come') { @cancels.pop }
  end

  def ack(delivery)
    @channel.ack(delivery.info.delivery_tag)
  end
end
