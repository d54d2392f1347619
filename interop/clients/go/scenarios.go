package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// scenarios are what amqp091-go does: a function for each feature of ../features.py, which gives a
// remark on what the client left out, or nothing.
var scenarios = map[string]func(*place) string{
	"connect":      connect,
	"tls":          tlsPlain,
	"mutual-tls":   tlsMutual,
	"topology":     topology,
	"confirms":     confirms,
	"confirm-nack": confirmNack,
	"returns":      returns,
	"consume":      consume,
	"requeue":      requeue,
	"prefetch":     prefetch,
	"dead-letter":  deadLetter,
	"cancel":       cancel,
	"bodies": func(p *place) string {
		return bodies(p, 0, 1, 4088, 4089, 8184, 8185, 131_064, 131_065)
	},
	"body-64-mib": func(p *place) string { return bodies(p, 64<<20) },
	"headers":     headers,
	"unicode":     unicode,
	"channels":    channels,
	"heartbeat":   heartbeat,
	"frozen":      frozen,
	"killed":      func(p *place) string { return afterARestart(p, "kill") },
	"closed":      func(p *place) string { return afterARestart(p, "stop") },
}

func roundTrip(p *place, connection *amqp.Connection) {
	channel, queue := open(connection), p.name("queue")
	channel.declare(queue, nil)
	channel.send(queue, "hello")
	same("hello", string(channel.take(queue).Body))
}

func notConnected(p *place, with settings) {
	_, err := p.dial(with)
	same(true, err != nil)
}

func connect(p *place) string {
	roundTrip(p, p.connect(settings{}))
	_, err := p.dial(settings{url: strings.Replace(url(), ":guest@", ":wrong@", 1)})
	same(error(amqp.ErrCredentials), err)
	_, err = p.dial(settings{url: strings.Replace(url(), "%2F", "no%20such", 1)})
	same(error(amqp.ErrVhost), err)
	return "has words of its own for refusals"
}

func tlsPlain(p *place) string {
	roundTrip(p, p.connect(p.tls("AMQPS_URL", "ca.pem", false)))
	notConnected(p, p.tls("AMQPS_URL", "stranger.pem", false))
	return ""
}

func tlsMutual(p *place) string {
	roundTrip(p, p.connect(p.tls("AMQPS_REQUIRED_URL", "ca.pem", true)))
	notConnected(p, p.tls("AMQPS_REQUIRED_URL", "ca.pem", false))
	return ""
}

func topology(p *place) string {
	connection := p.connect(settings{})
	channel, queue, source := open(connection), p.name("queue"), p.name("source")
	channel.declare(queue, amqp.Table{"x-max-length": int32(10)})
	must(channel.ExchangeDeclare(source, "fanout", false, false, false, false, nil))
	wanted := amqp.Table{"n": int32(1), "s": "x"}
	for _, each := range []struct {
		kind, bindingKey, key string
		arguments             amqp.Table
	}{
		{"direct", "a.b", "a.b", nil},
		{"fanout", "", "whatever", nil},
		{"topic", "a.*.#", "a.b.c.d", nil},
		{"headers", "", "", amqp.Table{"x-match": "all", "n": int32(1), "s": "x"}},
	} {
		exchange := p.name(each.kind)
		must(channel.ExchangeDeclare(exchange, each.kind, false, true, false, false, nil))
		must(channel.QueueBind(queue, each.bindingKey, exchange, false, each.arguments))
		must(channel.ExchangeBind(exchange, "", source, false, nil))
		for _, to := range []string{exchange, source} {
			message := transient(each.kind)
			message.Headers = wanted
			same("ack", channel.publish(to, each.key, true, message))
			same(each.kind, string(channel.take(queue).Body))
		}
		must(channel.QueueUnbind(queue, each.bindingKey, exchange, each.arguments))
		same((*amqp.Delivery)(nil), channel.take(queue))
	}
	must(channel.ExchangeDelete(source, false, false))
	channel.send(queue, "left")
	same(1, channel.ready(queue))
	purged, err := channel.QueuePurge(queue, false)
	must(err)
	same(1, purged)
	_, err = open(connection).QueueDeclare(queue, false, false, true, false, amqp.Table{"x-max-length": int32(11)})
	refused(406, fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '%s' in vhost '/': "+
		"received '11' but current is '10'", queue), err)
	_, err = channel.QueueDelete(queue, false, false, false)
	must(err)
	_, err = open(connection).QueueDeclarePassive(queue, false, false, false, false, nil)
	refused(404, fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '/'", queue), err)
	declared, err := channel.QueueDeclare("", false, false, true, false, nil)
	must(err)
	same(true, strings.HasPrefix(declared.Name, "amq.gen-"))
	return ""
}

func confirms(p *place) string {
	channel, queue := open(p.connect(settings{})), p.name("queue")
	channel.declare(queue, nil)
	for i := 0; i < 200; i++ {
		must(channel.Publish("", queue, false, false, transient(fmt.Sprint(i))))
	}
	for tag := uint64(1); tag <= 200; tag++ {
		same(amqp.Confirmation{DeliveryTag: tag, Ack: true}, <-channel.confirmed)
	}
	same(200, channel.ready(queue))
	return ""
}

func confirmNack(p *place) string {
	channel, queue := open(p.connect(settings{})), p.name("queue")
	channel.declare(queue, amqp.Table{"x-max-length": int32(2), "x-overflow": "reject-publish"})
	for _, expected := range []string{"ack", "ack", "nack", "nack"} {
		same(expected, channel.publish("", queue, false, transient("x")))
	}
	channel.take(queue)
	channel.send(queue, "x")
	return ""
}

func returns(p *place) string {
	channel, nowhere := open(p.connect(settings{})), p.name("nowhere")
	same("returned 312 NO_ROUTE", channel.publish("", nowhere, true, transient("x")))
	channel.send(nowhere, "x")
	return ""
}

func consume(p *place) string {
	connection := p.connect(settings{})
	channel, queue := open(connection), p.name("queue")
	channel.declare(queue, nil)
	for i := 0; i < 20; i++ {
		if i == 10 {
			channel.consume(queue)
		}
		channel.send(queue, fmt.Sprint(i))
	}
	for i := 0; i < 20; i++ {
		delivery := channel.next()
		same(fmt.Sprint(i), string(delivery.Body))
		same(false, delivery.Redelivered)
		same(queue, delivery.RoutingKey)
		must(delivery.Ack(false))
	}
	must(channel.Close())
	same(0, open(connection).ready(queue))
	return ""
}

func requeue(p *place) string {
	connection := p.connect(settings{})
	channel, queue := open(connection), p.name("queue")
	channel.declare(queue, nil)
	channel.send(queue, "x")
	channel.consume(queue)
	must(channel.next().Nack(false, true))
	again := channel.next()
	same(true, again.Redelivered)
	must(again.Reject(true))
	must(channel.next().Nack(false, false))
	channel.send(queue, "y")
	last := channel.next()
	same("y", string(last.Body))
	same(false, last.Redelivered)
	must(last.Reject(false))
	must(channel.Close())
	same(0, open(connection).ready(queue))
	return ""
}

func prefetch(p *place) string {
	connection := p.connect(settings{})
	channel, other, queue := open(connection), open(connection), p.name("queue")
	channel.declare(queue, nil)
	for i := 0; i < 10; i++ {
		channel.send(queue, fmt.Sprint(i))
	}
	must(channel.Qos(3, 0, false))
	channel.consume(queue)
	first := channel.next()
	same("1", string(channel.next().Body))
	same("2", string(channel.next().Body))
	same(7, other.ready(queue))
	must(first.Ack(false))
	same("3", string(channel.next().Body))
	same(6, other.ready(queue))
	return ""
}

func deadLetter(p *place) string {
	channel, queue, dead := open(p.connect(settings{})), p.name("queue"), p.name("dead")
	channel.declare(queue, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	channel.declare(dead, nil)
	channel.consume(dead)
	channel.send(queue, "rejected")
	message, _, err := channel.Get(queue, false)
	must(err)
	must(message.Reject(false))
	expiring := transient("expired")
	expiring.Expiration = "1"
	same("ack", channel.publish("", queue, false, expiring))
	for _, reason := range []string{"rejected", "expired"} {
		delivery := channel.next()
		same(reason, string(delivery.Body))
		deaths := delivery.Headers["x-death"].([]interface{})
		same(1, len(deaths))
		death := deaths[0].(amqp.Table)
		_, isTime := death["time"].(time.Time)
		same(true, isTime)
		delete(death, "time")
		expected := amqp.Table{
			"count": int64(1), "reason": reason, "queue": queue, "exchange": "", "routing-keys": []interface{}{queue},
		}
		if reason == "expired" {
			expected["original-expiration"] = "1"
		}
		same(expected, death)
		for what, first := range map[string]string{"reason": reason, "queue": queue, "exchange": ""} {
			same(first, delivery.Headers["x-first-death-"+what])
		}
	}
	return ""
}

func cancel(p *place) string {
	connection := p.connect(settings{})
	channel, queue := open(connection), p.name("queue")
	channel.declare(queue, nil)
	channel.consume(queue)
	_, err := open(connection).QueueDelete(queue, false, false, false)
	must(err)
	same("the consumer", <-channel.cancels)
	return ""
}

func bodies(p *place, sizes ...int) string {
	channel, queue := open(p.connect(settings{})), p.name("queue")
	channel.declare(queue, nil)
	channel.consume(queue)
	for _, size := range sizes {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i * 7 % 251)
		}
		channel.send(queue, string(body))
		delivery := channel.next()
		same(true, bytes.Equal(body, delivery.Body))
		must(delivery.Ack(false))
	}
	return ""
}

func headers(p *place) string {
	channel, queue := open(p.connect(settings{})), p.name("queue")
	channel.declare(queue, nil)
	sent := amqp.Table{
		"bool": true, "byte": byte(200), "int8": int8(-100), "int16": int16(-30_000), "int32": int32(-2_000_000_000),
		"int64": int64(-1 << 62), "float32": float32(0.1), "float64": 0.1,
		"decimal": amqp.Decimal{Scale: 2, Value: -314}, "string": strings.Repeat("x", 10_000),
		"bytes": []byte{0, 255, 254}, "time": time.Unix(1_767_323_045, 0), "nil": nil,
		"list":  []interface{}{int32(1), "two", nil, amqp.Table{"four": true}},
		"table": amqp.Table{"a": amqp.Table{"b": amqp.Table{"c": []interface{}{int32(1)}}}, "empty": amqp.Table{}},
	}
	same("ack", channel.publish("", queue, false, amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: amqp.Transient, Priority: 3,
		CorrelationId: "c", ReplyTo: "r", Expiration: "60000", MessageId: "m", Timestamp: time.Unix(1_767_323_045, 0),
		Type: "t", UserId: "guest", AppId: "a", Headers: sent,
	}))
	d := channel.take(queue)
	for name, value := range sent {
		if at, ok := value.(time.Time); ok {
			same(at.Unix(), d.Headers[name].(time.Time).Unix())
		} else {
			same(value, d.Headers[name])
		}
	}
	same(len(sent), len(d.Headers))
	same([]interface{}{
		"text/plain", "utf-8", uint8(1), uint8(3), "c", "r", "60000", "m", int64(1_767_323_045), "t", "guest", "a",
	}, []interface{}{
		d.ContentType, d.ContentEncoding, d.DeliveryMode, d.Priority, d.CorrelationId, d.ReplyTo, d.Expiration,
		d.MessageId, d.Timestamp.Unix(), d.Type, d.UserId, d.AppId,
	})
	return ""
}

func unicode(p *place) string {
	channel, name, key := open(p.connect(settings{})), p.name("Grüße-κόσμε-世界-🐇"), "schlüssel.世界"
	must(channel.ExchangeDeclare(name, "direct", false, true, false, false, nil))
	channel.declare(name, nil)
	must(channel.QueueBind(name, key, name, false, nil))
	message := transient("тело")
	message.Headers, message.MessageId = amqp.Table{"ключ": "значение 🐇"}, "ñ"
	same("ack", channel.publish(name, key, true, message))
	d := channel.take(name)
	same([]string{name, key, "тело", "ñ"}, []string{d.Exchange, d.RoutingKey, string(d.Body), d.MessageId})
	same(message.Headers, d.Headers)
	return ""
}

func channels(p *place) string {
	connection := p.connect(settings{})
	many := make([]*hearing, 1000)
	for i := range many {
		many[i] = open(connection)
	}
	queue := p.name("queue")
	many[0].declare(queue, nil)
	for i, channel := range many {
		channel.send(queue, fmt.Sprint(i))
	}
	same(1000, many[0].ready(queue))
	for _, channel := range many {
		must(channel.Close())
	}
	same("0", string(open(connection).take(queue).Body))
	return ""
}

func heartbeat(p *place) string {
	connection := p.connect(settings{heartbeat: 2 * time.Second})
	time.Sleep(7 * time.Second)
	roundTrip(p, connection)
	return ""
}

func frozen(p *place) string {
	channel, queue := open(p.connect(settings{})), p.name("queue")
	_, err := channel.QueueDeclare(queue, false, false, false, false, nil)
	must(err)
	channel.send(queue, "held")
	p.ask("freeze " + queue)
	channel.consume(queue)
	delivery := channel.next()
	same("held", string(delivery.Body))
	same(true, delivery.Redelivered)
	must(delivery.Ack(false))
	_, err = channel.QueueDelete(queue, false, false, false)
	must(err)
	return ""
}

func afterARestart(p *place, how string) string {
	connection := p.connect(settings{})
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	channel, kept := open(connection), p.name("kept")
	_, err := channel.QueueDeclare(kept, true, false, false, false, nil)
	must(err)
	for i := 0; i < 10; i++ {
		message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(fmt.Sprint(i))}
		same("ack", channel.publish("", kept, false, message))
	}
	p.ask(how)
	why := <-closed
	if how == "stop" {
		same(320, why.Code)
		same(true, strings.HasPrefix(why.Reason, "CONNECTION_FORCED"))
	}
	_, err = channel.QueueDeclarePassive(kept, true, false, false, false, nil)
	same(true, err != nil)
	channel = open(p.connect(settings{}))
	for i := 0; i < 10; i++ {
		same(fmt.Sprint(i), string(channel.take(kept).Body))
	}
	same((*amqp.Delivery)(nil), channel.take(kept))
	_, err = channel.QueueDelete(kept, false, false, false)
	must(err)
	return "connecting anew"
}
