# The driver of bunny: runs the features it is told, a JSON line for each.
#
# In come the broker's URLs and FEATURES from the environment (see ../README.md). `driver.rb frozen
# QUEUE` is the client that will stand still.

require 'json'
require_relative 'place'
require_relative 'scenarios'

$stdout.sync = true

def say(line)
  puts JSON.generate(line)
end

# Holds a message of the queue, unacked, on a connection that will beat no more: the one who started us
# stops this process.
def stand_still(queue)
  channel = Hearing.new(Place.new.connect(heartbeat: 1))
  channel.consume(queue)
  channel.next
  say(ready: queue)
  sleep
end

def outcome(feature)
  place = Place.new
  { result: 'ok', text: Scenarios.new(place).public_send(feature.tr('-', '_')).to_s }
rescue Skipped => e
  { result: 'skip', text: e.message }
rescue Exception => e # bunny's own are of all kinds
  warn e.full_message(highlight: false)
  line = e.backtrace&.grep(/scenarios\.rb/)&.first.to_s[/scenarios\.rb:\d+/]
  { result: 'fail', text: "#{line} #{e.class}: #{e.message}" }
ensure
  place.tidy
end

stand_still(ARGV[1]) if ARGV[0] == 'frozen'
ENV.fetch('FEATURES').split(',').each { |feature| say({ feature: feature }.merge(outcome(feature))) }
exit!(0)
