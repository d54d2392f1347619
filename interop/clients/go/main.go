// The driver of amqp091-go: runs the features it is told, a JSON line for each.
//
// In come the broker's URLs and FEATURES from the environment (see ../README.md). `driver frozen QUEUE`
// is the client that will stand still.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "frozen" {
		standStill(os.Args[2])
	}
	for _, feature := range strings.Split(os.Getenv("FEATURES"), ",") {
		result, text := outcome(feature)
		say(map[string]string{"feature": feature, "result": result, "text": text})
	}
}

// skipped is what a scenario panics with if the client or the broker at hand cannot do it.
type skipped string

func outcome(feature string) (result, text string) {
	place := &place{}
	defer place.tidy()
	defer func() {
		switch why := recover().(type) {
		case nil:
		case skipped:
			result, text = "skip", string(why)
		default:
			debug.PrintStack()
			result, text = "fail", fmt.Sprint(why)
		}
	}()
	return "ok", scenarios[feature](place)
}

// standStill holds a message of the queue, unacked, on a connection that will beat no more: the one who
// started us stops this process.
func standStill(queue string) {
	channel := open((&place{}).connect(settings{heartbeat: time.Second}))
	channel.consume(queue)
	channel.next()
	say(map[string]string{"ready": queue})
	select {}
}

func say(line map[string]string) {
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}
