<?php

// What php-amqplib does: a method for each feature of ../features.py, which gives a remark on what the
// client left out, or nothing.

declare(strict_types=1);

use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPExceptionInterface;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Wire\AMQPAbstractCollection as Type;
use PhpAmqpLib\Wire\AMQPArray;
use PhpAmqpLib\Wire\AMQPDecimal;
use PhpAmqpLib\Wire\AMQPTable;

class Scenarios
{
    public function __construct(private readonly Place $place)
    {
    }

    private function refused(int $code, string $text, callable $action): void
    {
        try {
            $action();
        } catch (AMQPExceptionInterface $why) {
            same([$code, true], [$why->getCode(), str_contains($why->getMessage(), $text)]);
            return;
        }
        throw new Exception("not refused with $code $text");
    }

    private function notConnected(callable $action): void
    {
        try {
            $action();
        } catch (Skipped $why) {
            throw $why;
        } catch (Throwable) {
            return;
        }
        throw new Exception('connected');
    }

    private function roundTrip(AbstractConnection $connection): void
    {
        $c = new Hearing($connection);
        $queue = $this->place->name('queue');
        $c->declare($queue);
        $c->send($queue, 'hello');
        same('hello', $c->get($queue)->getBody());
    }

    /** A channel, an exclusive queue on it, and its connection. */
    private function withQueue(array $arguments = []): array
    {
        $connection = $this->place->connect();
        $c = new Hearing($connection);
        $queue = $this->place->name('queue');
        $c->declare($queue, $arguments);
        return [$c, $queue, $connection];
    }

    public function connect(): string
    {
        $this->roundTrip($this->place->connect());
        $wrong = str_replace(':guest@', ':wrong@', $this->place->url);
        $this->refused(403, 'ACCESS_REFUSED - Login was refused', fn () => $this->place->connect($wrong));
        $noSuch = str_replace('%2F', 'no%20such', $this->place->url);
        $this->refused(530, 'NOT_ALLOWED - vhost no such not found', fn () => $this->place->connect($noSuch));
        return 'takes the parts of a URI; logs in by AMQPLAIN';
    }

    public function tls(): void
    {
        $this->roundTrip($this->place->connectTls('AMQPS_URL', 'ca.pem'));
        $this->notConnected(fn () => $this->place->connectTls('AMQPS_URL', 'stranger.pem'));
    }

    public function mutualTls(): void
    {
        $this->roundTrip($this->place->connectTls('AMQPS_REQUIRED_URL', 'ca.pem', true));
        $this->notConnected(fn () => $this->place->connectTls('AMQPS_REQUIRED_URL', 'ca.pem'));
    }

    public function topology(): void
    {
        [$c, $queue, $connection] = $this->withQueue(['x-max-length' => 10]);
        $source = $this->place->name('source');
        $c->channel->exchange_declare($source, 'fanout', false, false, false);
        $wanted = ['n' => 1, 's' => 'x'];
        $kinds = [
            'direct' => ['a.b', [], 'a.b'],
            'fanout' => ['', [], 'whatever'],
            'topic' => ['a.*.#', [], 'a.b.c.d'],
            'headers' => ['', $wanted + ['x-match' => 'all'], ''],
        ];
        foreach ($kinds as $kind => [$bindingKey, $arguments, $key]) {
            $exchange = $this->place->name($kind);
            $arguments = new AMQPTable($arguments);
            $c->channel->exchange_declare($exchange, $kind);
            $c->channel->queue_bind($queue, $exchange, $bindingKey, false, $arguments);
            $c->channel->exchange_bind($exchange, $source);
            foreach ([$exchange, $source] as $to) {
                same('ack', $c->publish($to, $key, $kind, TRANSIENT + ['application_headers' => $wanted]));
                same($kind, $c->get($queue)->getBody());
            }
            $c->channel->queue_unbind($queue, $exchange, $bindingKey, $arguments);
            same(null, $c->get($queue));
        }
        $c->channel->exchange_delete($source);
        $c->send($queue, 'left');
        same(1, $c->ready($queue));
        same(1, $c->channel->queue_purge($queue));
        $unequal = "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '$queue' in vhost '/': "
            . "received '11' but current is '10'";
        $this->refused(406, $unequal, fn () => (new Hearing($connection))->declare($queue, ['x-max-length' => 11]));
        $c->channel->queue_delete($queue);
        $this->refused(404, "NOT_FOUND - no queue '$queue' in vhost '/'", fn () => (new Hearing($connection))->ready($queue));
        same(true, str_starts_with($c->channel->queue_declare('', false, false, true)[0], 'amq.gen-'));
    }

    public function confirms(): void
    {
        [$c, $queue] = $this->withQueue();
        same(array_fill(0, 200, 'ack'), $c->publishAll('', $queue, array_map('strval', range(1, 200))));
        same(200, $c->ready($queue));
    }

    public function confirmNack(): void
    {
        [$c, $queue] = $this->withQueue(['x-max-length' => 2, 'x-overflow' => 'reject-publish']);
        same(['ack', 'ack', 'nack', 'nack'], array_map(fn () => $c->publish('', $queue, 'x'), range(1, 4)));
        $c->get($queue);
        $c->send($queue, 'x');
    }

    public function returns(): void
    {
        $c = new Hearing($this->place->connect());
        $nowhere = $this->place->name('nowhere');
        same('returned 312 NO_ROUTE', $c->publish('', $nowhere, 'x', mandatory: true));
        $c->send($nowhere, 'x');
    }

    public function consume(): void
    {
        [$c, $queue, $connection] = $this->withQueue();
        for ($i = 0; $i < 20; $i++) {
            if ($i === 10) {
                $c->consume($queue);
            }
            $c->send($queue, (string) $i);
        }
        for ($i = 0; $i < 20; $i++) {
            $delivery = $c->next();
            same([(string) $i, false, $queue], [$delivery->getBody(), $delivery->isRedelivered(), $delivery->getRoutingKey()]);
            $delivery->ack();
        }
        $c->channel->close();
        same(0, (new Hearing($connection))->ready($queue));
    }

    public function requeue(): void
    {
        [$c, $queue, $connection] = $this->withQueue();
        $c->send($queue, 'x');
        $c->consume($queue);
        $c->next()->nack(true);
        $again = $c->next();
        same(true, $again->isRedelivered());
        $again->reject(true);
        $c->next()->nack(false);
        $c->send($queue, 'y');
        $last = $c->next();
        same(['y', false], [$last->getBody(), $last->isRedelivered()]);
        $last->reject(false);
        $c->channel->close();
        same(0, (new Hearing($connection))->ready($queue));
    }

    public function prefetch(): void
    {
        [$c, $queue, $connection] = $this->withQueue();
        $other = new Hearing($connection);
        $c->publishAll('', $queue, str_split('0123456789'));
        $c->channel->basic_qos(0, 3, false);
        $c->consume($queue);
        $first = $c->next();
        same(['1', '2'], [$c->next()->getBody(), $c->next()->getBody()]);
        same(7, $other->ready($queue));
        $first->ack();
        same('3', $c->next()->getBody());
        same(6, $other->ready($queue));
    }

    public function deadLetter(): void
    {
        $dead = $this->place->name('dead');
        [$c, $queue] = $this->withQueue(['x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => $dead]);
        $c->declare($dead);
        $c->consume($dead);
        $c->send($queue, 'rejected');
        $c->get($queue, false)->reject(false);
        same('ack', $c->publish('', $queue, 'expired', TRANSIENT + ['expiration' => '1']));
        foreach (['rejected', 'expired'] as $reason) {
            $delivery = $c->next();
            same($reason, $delivery->getBody());
            $headers = $delivery->get('application_headers')->getNativeData();
            same(1, count($headers['x-death']));
            $death = $headers['x-death'][0];
            same(true, $death['time'] instanceof DateTimeInterface);
            same($reason === 'expired' ? '1' : null, $death['original-expiration'] ?? null);
            unset($death['time'], $death['original-expiration']);
            $expected = ['count' => 1, 'reason' => $reason, 'queue' => $queue, 'exchange' => '', 'routing-keys' => [$queue]];
            same($expected, $death);
            $first = array_map(fn ($what) => $headers["x-first-death-$what"], ['reason', 'queue', 'exchange']);
            same([$reason, $queue, ''], $first);
        }
    }

    public function cancel(): void
    {
        [$c, $queue, $connection] = $this->withQueue();
        $tag = $c->consume($queue);
        (new Hearing($connection))->channel->queue_delete($queue);
        same($tag, $c->cancelled());
    }

    private function exchangeBodies(int ...$sizes): void
    {
        [$c, $queue] = $this->withQueue();
        $c->consume($queue);
        $pattern = implode('', array_map(fn ($i) => chr($i * 7 % 251), range(0, 250)));
        foreach ($sizes as $size) {
            $body = substr(str_repeat($pattern, intdiv($size, 251) + 1), 0, $size);
            $c->send($queue, $body);
            $delivery = $c->next();
            same(true, $delivery->getBody() === $body);
            $delivery->ack();
        }
    }

    public function bodies(): void
    {
        $this->exchangeBodies(0, 1, 4088, 4089, 8184, 8185, 131064, 131065);
    }

    public function body64Mib(): void
    {
        $this->exchangeBodies(64 << 20);
    }

    public function headers(): string
    {
        [$c, $queue] = $this->withQueue();
        $time = new DateTime('@1767323045');
        $typed = [
            'bool' => [Type::T_BOOL, true], 'int8' => [Type::T_INT_SHORTSHORT, -100],
            'uint8' => [Type::T_INT_SHORTSHORT_U, 200], 'int16' => [Type::T_INT_SHORT, -30000],
            'uint16' => [Type::T_INT_SHORT_U, 60000], 'int32' => [Type::T_INT_LONG, -2000000000],
            'uint32' => [Type::T_INT_LONG_U, 4000000000], 'int64' => [Type::T_INT_LONGLONG, -(2 ** 62)],
            'string' => [Type::T_STRING_LONG, str_repeat('x', 10000)], 'void' => [Type::T_VOID, null],
            'array' => [Type::T_ARRAY, new AMQPArray([1, 'two', null, ['four' => true]])],
            'table' => [Type::T_TABLE, new AMQPTable(['a' => ['b' => ['c' => [1]]]])],
            'bytes' => [Type::T_BYTES, "\0\xff\xfe"], 'time' => [Type::T_TIMESTAMP, $time->getTimestamp()],
            'decimal' => [Type::T_DECIMAL, new AMQPDecimal(314, 2)],
        ];
        $table = new AMQPTable();
        foreach ($typed as $name => [$type, $value]) {
            $table->set($name, $value, $type);
        }
        $properties = [
            'content_type' => 'text/plain', 'content_encoding' => 'utf-8', 'delivery_mode' => 1, 'priority' => 3,
            'correlation_id' => 'c', 'reply_to' => 'r', 'expiration' => '60000', 'message_id' => 'm', 'type' => 't',
            'user_id' => 'guest', 'app_id' => 'a', 'timestamp' => 1767323045,
        ];
        same('ack', $c->publish('', $queue, '', $properties + ['application_headers' => $table]));
        $delivery = $c->get($queue);
        $headers = $delivery->get('application_headers')->getNativeData();
        $sent = array_map(fn ($each) => $each[1] instanceof Type ? $each[1]->getNativeData() : $each[1], $typed);
        same($time->getTimestamp(), $headers['time']->getTimestamp());
        same(['314', 2], [(string) $headers['decimal']->getN(), (int) $headers['decimal']->getE()]);
        foreach (array_diff_key($sent, ['time' => 0, 'decimal' => 0]) as $name => $value) {
            same([$name => $value], [$name => $headers[$name]]);
        }
        same(count($sent), count($headers));
        foreach ($properties as $name => $value) {
            same([$name => $value], [$name => $delivery->get($name)]);
        }
        return 'without floats, which it reads and does not write';
    }

    public function unicode(): void
    {
        $c = new Hearing($this->place->connect());
        $name = $this->place->name('Grüße-κόσμε-世界-🐇');
        $key = 'schlüssel.世界';
        $c->channel->exchange_declare($name, 'direct');
        $c->declare($name);
        $c->channel->queue_bind($name, $name, $key);
        $headers = ['ключ' => 'значение 🐇'];
        $properties = TRANSIENT + ['application_headers' => $headers, 'message_id' => 'ñ'];
        same('ack', $c->publish($name, $key, 'тело', $properties, true));
        $d = $c->get($name);
        same([$name, $key, 'тело', 'ñ'], [$d->getExchange(), $d->getRoutingKey(), $d->getBody(), $d->get('message_id')]);
        same($headers, $d->get('application_headers')->getNativeData());
    }

    public function channels(): void
    {
        $connection = $this->place->connect();
        $many = array_map(fn () => new Hearing($connection), range(1, 1000));
        $queue = $this->place->name('queue');
        $many[0]->declare($queue);
        foreach ($many as $i => $c) {
            $c->send($queue, (string) $i);
        }
        same(1000, $many[0]->ready($queue));
        foreach ($many as $c) {
            $c->channel->close();
        }
        same('0', (new Hearing($connection))->get($queue)->getBody());
    }

    public function heartbeat(): void
    {
        $connection = $this->place->connect(heartbeat: 2);
        $c = new Hearing($connection);
        for ($until = microtime(true) + 7; microtime(true) < $until;) {
            $c->idle(0.3);
        }
        $this->roundTrip($connection);
    }

    public function frozen(): void
    {
        $c = new Hearing($this->place->connect());
        $queue = $this->place->name('queue');
        $c->channel->queue_declare($queue, false, false, false, false);
        $c->send($queue, 'held');
        $this->place->ask("freeze $queue");
        $c->consume($queue);
        $delivery = $c->next();
        same(['held', true], [$delivery->getBody(), $delivery->isRedelivered()]);
        $delivery->ack();
        $c->channel->queue_delete($queue);
    }

    public function killed(): string
    {
        return $this->afterARestart('kill');
    }

    public function closed(): string
    {
        return $this->afterARestart('stop');
    }

    private function afterARestart(string $how): string
    {
        $c = new Hearing($this->place->connect());
        $kept = $this->place->name('kept');
        $c->channel->queue_declare($kept, false, true, false, false);
        $bodies = array_map('strval', range(0, 9));
        same(array_fill(0, 10, 'ack'), $c->publishAll('', $kept, $bodies, ['delivery_mode' => 2]));
        $this->place->ask($how);
        try {
            $c->channel->wait(null, false, WAIT_SECONDS);
            throw new Exception('the connection lived on');
        } catch (AMQPConnectionClosedException $why) {
            if ($how === 'stop') {
                // A broker that does not wait for its close-ok may break the pipe under it.
                same(true, in_array($why->getCode(), [320, SOCKET_EPIPE], true));
            }
        }
        $fresh = new Hearing($this->place->connect());
        same($bodies, array_map(fn () => $fresh->get($kept)->getBody(), $bodies));
        same(null, $fresh->get($kept));
        $fresh->channel->queue_delete($kept);
        return 'connecting anew';
    }
}
