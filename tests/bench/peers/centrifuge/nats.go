package main

import (
	"strings"
	"sync"

	"github.com/centrifugal/centrifuge"
	"github.com/nats-io/nats.go"
)

const subjectPrefix = "peer."

// natsBroker carries publications between nodes over NATS, at most once, and keeps no history: the library
// has brokers for memory and Redis only, Centrifugo's own one for NATS is internal to that program. Data
// travels as it is, without an envelope, which is less than Centrifugo sends.
type natsBroker struct {
	connection    *nats.Conn
	handler       centrifuge.BrokerEventHandler
	mutex         sync.Mutex // calls for different channels overlap
	subscriptions map[string]*nats.Subscription
}

func newNatsBroker(url string) (*natsBroker, error) {
	connection, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	return &natsBroker{connection: connection, subscriptions: make(map[string]*nats.Subscription)}, nil
}

func (b *natsBroker) RegisterBrokerEventHandler(handler centrifuge.BrokerEventHandler) error {
	b.handler = handler
	return nil
}

func (b *natsBroker) received(message *nats.Msg) {
	channel := strings.TrimPrefix(message.Subject, subjectPrefix)
	publication := &centrifuge.Publication{Data: message.Data}
	_ = b.handler.HandlePublication(channel, publication, centrifuge.StreamPosition{}, false, nil)
}

func (b *natsBroker) Subscribe(channels ...string) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, channel := range channels {
		subscription, err := b.connection.Subscribe(subjectPrefix+channel, b.received)
		if err != nil {
			return err
		}
		b.subscriptions[channel] = subscription
	}
	return b.connection.Flush()
}

func (b *natsBroker) Unsubscribe(channels ...string) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, channel := range channels {
		if subscription, ok := b.subscriptions[channel]; ok {
			delete(b.subscriptions, channel)
			if err := subscription.Unsubscribe(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *natsBroker) Publish(channel string, data []byte, _ centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	return centrifuge.PublishResult{}, b.connection.Publish(subjectPrefix+channel, data)
}

func (b *natsBroker) PublishJoin(string, *centrifuge.ClientInfo) error  { return nil }
func (b *natsBroker) PublishLeave(string, *centrifuge.ClientInfo) error { return nil }

func (b *natsBroker) History(string, centrifuge.HistoryOptions) ([]*centrifuge.Publication, centrifuge.StreamPosition, error) {
	return nil, centrifuge.StreamPosition{}, centrifuge.ErrorNotAvailable
}

func (b *natsBroker) RemoveHistory(string) error { return centrifuge.ErrorNotAvailable }
