// A server on the Go library centrifuge, as small as it can be: the peer that the benchmarks compare with.
//
// It accepts everybody, lets everybody subscribe to every channel, and publishes what is posted to
// /api/publish. WebSocket clients subscribe by themselves; SSE clients are subscribed to the channel that
// they name in the query. Its arguments are the channel's history size, 0 for none, and, if publications are to
// go through a nats-server, its URL. It prints its port.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/centrifugal/centrifuge"
)

const historyTTL = 300 * time.Second

type channelKey struct{}

type publishRequest struct {
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

type publishResponse struct {
	Result struct {
		Offset uint64 `json:"offset,omitempty"`
		Epoch  string `json:"epoch,omitempty"`
	} `json:"result"`
}

func main() {
	history, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	node := newNode()
	if len(os.Args) > 2 {
		broker, err := newNatsBroker(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		node.SetBroker(broker)
	}
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, routes(node, history)))
}

func newNode() *centrifuge.Node {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		reply := centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}
		if channel, ok := ctx.Value(channelKey{}).(string); ok && channel != "" {
			reply.Subscriptions = map[string]centrifuge.SubscribeOptions{channel: {}}
		}
		return reply, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
	})
	return node
}

func routes(node *centrifuge.Node, history int) http.Handler {
	// Pings as rare as those of the node that is compared.
	pings := centrifuge.PingPongConfig{PingInterval: 300 * time.Second, PongTimeout: 60 * time.Second}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig:     pings,
		ReadBufferSize:     1024,
		UseWriteBufferPool: true,
	}))
	sse := centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{PingPongConfig: pings})
	mux.HandleFunc("/connection/sse", func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), channelKey{}, r.URL.Query().Get("channel"))
		sse.ServeHTTP(w, r.WithContext(ctx))
	})
	mux.HandleFunc("/api/publish", func(w http.ResponseWriter, r *http.Request) {
		publish(node, history, w, r)
	})
	return mux
}

func publish(node *centrifuge.Node, history int, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var request publishRequest
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var options []centrifuge.PublishOption
	if history > 0 {
		options = append(options, centrifuge.WithHistory(history, historyTTL))
	}
	result, err := node.Publish(request.Channel, request.Data, options...)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var response publishResponse
	response.Result.Offset = result.Offset
	response.Result.Epoch = result.Epoch
	answer, err := json.Marshal(response)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}
