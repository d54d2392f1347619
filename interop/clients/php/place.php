<?php

// Where a scenario runs: the broker's URLs, fresh names, and whoever can restart the broker.

declare(strict_types=1);

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Connection\AMQPSSLConnection;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPBasicCancelException;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

/** How long anything that must come is waited for. */
const WAIT_SECONDS = 20;

const TRANSIENT = ['delivery_mode' => 1];

/** The client or the broker at hand cannot do it; the message says why. */
class Skipped extends Exception
{
}

class Place
{
    public readonly string $url;
    private array $opened = [];
    private static int $made = 0;

    public function __construct()
    {
        $this->url = getenv('AMQP_URL');
    }

    /** php-amqplib takes no URI but its parts. */
    public function connect(?string $url = null, int $heartbeat = 0, ?array $tls = null): AbstractConnection
    {
        $parts = parse_url($url ?? $this->url);
        $to = [
            $parts['host'], $parts['port'], urldecode($parts['user']), urldecode($parts['pass']),
            urldecode(substr($parts['path'], 1)),
        ];
        if ($tls !== null) {
            $timeouts = ['read_write_timeout' => WAIT_SECONDS, 'connection_timeout' => WAIT_SECONDS];
            $connection = new AMQPSSLConnection(...[...$to, $tls, $timeouts]);
        } else {
            $connection = new AMQPStreamConnection(
                ...[...$to, false, 'AMQPLAIN', null, 'en_US', WAIT_SECONDS, WAIT_SECONDS, null, false, $heartbeat],
            );
        }
        $this->opened[] = $connection;
        return $connection;
    }

    public function connectTls(string $variable, string $ca, bool $certificate = false): AbstractConnection
    {
        $url = getenv($variable);
        if (!$url) {
            throw new Skipped("no $variable");
        }
        $certs = getenv('CERTS');
        $options = ['cafile' => "$certs/$ca", 'verify_peer' => true, 'verify_peer_name' => true];
        if ($certificate) {
            $options += ['local_cert' => "$certs/client.pem", 'local_pk' => "$certs/client.key"];
        }
        return $this->connect($url, tls: $options);
    }

    public function name(string $what): string
    {
        return sprintf('fleet-%s-%d-%d', $what, getmypid(), ++self::$made);
    }

    /** Has the broker killed or stopped and started again, or a second client frozen. */
    public function ask(string $what): void
    {
        if (!getenv('FLEET_ASKS')) {
            throw new Skipped('nobody here who can restart the broker or freeze a client');
        }
        say(['ask' => $what]);
        $answer = trim(fgets(STDIN));
        if ($answer !== 'done') {
            throw new Exception("answered $answer");
        }
    }

    /** Closes what the scenario left open, whatever state it is in. */
    public function tidy(): void
    {
        foreach ($this->opened as $connection) {
            try {
                $connection->close();
            } catch (Throwable) {
                // it was the scenario's business to fail
            }
        }
    }
}

/** A channel in confirm mode with what it hears: confirms, returns, deliveries. */
class Hearing
{
    public readonly AMQPChannel $channel;
    private array $came = [];
    private array $outcomes = [];

    public function __construct(AbstractConnection $connection)
    {
        $this->channel = $connection->channel();
        $this->channel->confirm_select();
        $this->channel->set_ack_handler(function (AMQPMessage $message): void {
            $this->outcomes[$message->getDeliveryTag()] ??= 'ack';
        });
        $this->channel->set_nack_handler(function (AMQPMessage $message): void {
            $this->outcomes[$message->getDeliveryTag()] = 'nack';
        });
        $this->channel->set_return_listener(function (int $code, string $text): void {
            $this->outcomes['returned'] = "returned $code $text";
        });
    }

    /** An exclusive queue. */
    public function declare(string $queue, array $arguments = []): void
    {
        $this->channel->queue_declare($queue, false, false, true, false, false, new AMQPTable($arguments));
    }

    public function ready(string $queue): int
    {
        return $this->channel->queue_declare($queue, true)[1];
    }

    /** Publishes them and waits for all: "ack", "nack" or what came back, for each. */
    public function publishAll(string $exchange, string $key, array $bodies, array $properties = TRANSIENT, bool $mandatory = false): array
    {
        $this->outcomes = [];
        if (is_array($properties['application_headers'] ?? null)) {
            $properties['application_headers'] = new AMQPTable($properties['application_headers']);
        }
        foreach ($bodies as $body) {
            $this->channel->basic_publish(new AMQPMessage($body, $properties), $exchange, $key, $mandatory);
        }
        $this->channel->wait_for_pending_acks_returns(WAIT_SECONDS);
        if (isset($this->outcomes['returned'])) {
            return [$this->outcomes['returned']];
        }
        ksort($this->outcomes);
        return array_values($this->outcomes);
    }

    public function publish(string $exchange, string $key, string $body, array $properties = TRANSIENT, bool $mandatory = false): string
    {
        return $this->publishAll($exchange, $key, [$body], $properties, $mandatory)[0];
    }

    public function send(string $queue, string $body): void
    {
        same('ack', $this->publish('', $queue, $body));
    }

    /** Gets one; null if there is none. */
    public function get(string $queue, bool $noAck = true): ?AMQPMessage
    {
        return $this->channel->basic_get($queue, $noAck);
    }

    public function consume(string $queue): string
    {
        $came = function (AMQPMessage $message): void {
            $this->came[] = $message;
        };
        return $this->channel->basic_consume($queue, '', false, false, false, false, $came);
    }

    public function next(): AMQPMessage
    {
        while (!$this->came) {
            $this->channel->wait(null, false, WAIT_SECONDS);
        }
        return array_shift($this->came);
    }

    /** The consumer's end is thrown at whoever waits. */
    public function cancelled(): string
    {
        try {
            $this->channel->wait(null, false, WAIT_SECONDS);
        } catch (AMQPBasicCancelException $cancel) {
            return $cancel->consumerTag;
        }
        throw new Exception('a cancel did not come');
    }

    /** Nobody beats for php-amqplib: whoever uses it has to check now and then. */
    public function idle(float $seconds): void
    {
        try {
            $this->channel->wait(null, false, $seconds);
        } catch (AMQPTimeoutException) {
            $this->channel->getConnection()->checkHeartBeat();
        }
    }
}

function same(mixed $expected, mixed $actual): void
{
    if ($expected != $actual || gettype($expected) !== gettype($actual)) {
        throw new Exception('expected ' . json_encode($expected) . ', got ' . json_encode($actual));
    }
}
