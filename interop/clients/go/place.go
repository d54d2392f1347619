package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// wait is how long anything that must come is waited for.
const wait = 20 * time.Second

var (
	answers = bufio.NewReader(os.Stdin)
	made    int
)

// place is where a scenario runs: the broker's URLs, fresh names, and whoever can restart the broker.
type place struct {
	opened []*amqp.Connection
}

// settings of a connection that are not the usual ones.
type settings struct {
	url       string
	heartbeat time.Duration
	tls       *tls.Config
}

func url() string {
	return os.Getenv("AMQP_URL")
}

func (p *place) dial(with settings) (*amqp.Connection, error) {
	if with.url == "" {
		with.url = url()
	}
	if with.heartbeat == 0 {
		with.heartbeat = time.Minute
	}
	connection, err := amqp.DialConfig(with.url, amqp.Config{Heartbeat: with.heartbeat, TLSClientConfig: with.tls})
	if err == nil {
		p.opened = append(p.opened, connection)
	}
	return connection, err
}

func (p *place) connect(with settings) *amqp.Connection {
	connection, err := p.dial(with)
	must(err)
	return connection
}

// tls is a connection through TLS that trusts the CA of this file and shows our certificate if asked to.
func (p *place) tls(variable, ca string, certificate bool) settings {
	if os.Getenv(variable) == "" {
		panic(skipped("no " + variable))
	}
	certs := os.Getenv("CERTS") + "/"
	pem, err := os.ReadFile(certs + ca)
	must(err)
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	config.RootCAs.AppendCertsFromPEM(pem)
	if certificate {
		pair, err := tls.LoadX509KeyPair(certs+"client.pem", certs+"client.key")
		must(err)
		config.Certificates = []tls.Certificate{pair}
	}
	return settings{url: os.Getenv(variable), tls: config}
}

func (p *place) name(what string) string {
	made++
	return fmt.Sprintf("fleet-%s-%d-%d", what, os.Getpid(), made)
}

// ask has the broker killed or stopped and started again, or a second client frozen.
func (p *place) ask(what string) {
	if os.Getenv("FLEET_ASKS") == "" {
		panic(skipped("nobody here who can restart the broker or freeze a client"))
	}
	say(map[string]string{"ask": what})
	answer, err := answers.ReadString('\n')
	must(err)
	same("done", strings.TrimSpace(answer))
}

// tidy closes what the scenario left open, whatever state it is in.
func (p *place) tidy() {
	for _, connection := range p.opened {
		_ = connection.Close()
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(expected, actual interface{}) {
	if !reflect.DeepEqual(expected, actual) {
		panic(fmt.Sprintf("expected %v, got %v", expected, actual))
	}
}

func refused(code int, text string, err error) {
	why, ok := err.(*amqp.Error)
	if !ok {
		panic(fmt.Sprintf("expected %d %s, got %v", code, text, err))
	}
	same(fmt.Sprint(code, " ", text), fmt.Sprint(why.Code, " ", why.Reason))
}

// hearing is a channel in confirm mode with what it hears.
type hearing struct {
	*amqp.Channel
	returned   chan amqp.Return
	confirmed  chan amqp.Confirmation
	cancels    chan string
	deliveries <-chan amqp.Delivery
}

func open(connection *amqp.Connection) *hearing {
	channel, err := connection.Channel()
	must(err)
	must(channel.Confirm(false))
	return &hearing{
		Channel:   channel,
		returned:  channel.NotifyReturn(make(chan amqp.Return, 1)),
		confirmed: channel.NotifyPublish(make(chan amqp.Confirmation, 200)),
		cancels:   channel.NotifyCancel(make(chan string, 1)),
	}
}

// declare makes an exclusive queue.
func (h *hearing) declare(queue string, arguments amqp.Table) {
	_, err := h.QueueDeclare(queue, false, false, true, false, arguments)
	must(err)
}

func (h *hearing) ready(queue string) int {
	declared, err := h.QueueDeclarePassive(queue, false, false, false, false, nil)
	must(err)
	return declared.Messages
}

// publish waits for what becomes of it: "ack", "nack" or what came back. Not by PublishWithDeferredConfirm,
// which misses a confirm that is quicker than itself in the client's version 1.5.
func (h *hearing) publish(exchange, key string, mandatory bool, message amqp.Publishing) string {
	must(h.Publish(exchange, key, mandatory, false, message))
	confirmation := <-h.confirmed
	select {
	case back := <-h.returned:
		return fmt.Sprint("returned ", back.ReplyCode, " ", back.ReplyText)
	default:
	}
	if confirmation.Ack {
		return "ack"
	}
	return "nack"
}

func (h *hearing) send(queue, body string) {
	same("ack", h.publish("", queue, false, transient(body)))
}

func transient(body string) amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Transient, Body: []byte(body)}
}

// take gets one without ack; nil if there is none.
func (h *hearing) take(queue string) *amqp.Delivery {
	message, ok, err := h.Get(queue, true)
	must(err)
	if !ok {
		return nil
	}
	return &message
}

func (h *hearing) consume(queue string) {
	var err error
	h.deliveries, err = h.Consume(queue, "the consumer", false, false, false, false, nil)
	must(err)
}

func (h *hearing) next() amqp.Delivery {
	select {
	case delivery, ok := <-h.deliveries:
		same(true, ok)
		return delivery
	case <-time.After(wait):
		panic("a delivery did not come")
	}
}
