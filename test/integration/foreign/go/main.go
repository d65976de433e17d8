// The official Go client: publishes what a list of cases on stdin says, or values of all its schemas.
// Usage: go-client SERVICE_URL < cases.json; go-client SERVICE_URL schemas
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"
	"github.com/sirupsen/logrus"
)

type message struct {
	Base64      *string           `json:"base64"`
	Times       int               `json:"times"`
	Key         string            `json:"key"`
	OrderingKey string            `json:"orderingKey"`
	EventTimeMs int64             `json:"eventTimeMs"`
	Properties  map[string]string `json:"properties"`
	Flush       bool              `json:"flush"`
}

type testCase struct {
	Topic    string    `json:"topic"`
	Name     string    `json:"name"`
	Codec    string    `json:"codec"`
	Kind     string    `json:"kind"`
	Messages []message `json:"messages"`
}

var codecs = map[string]pulsar.CompressionType{
	"NONE": pulsar.NoCompression, "LZ4": pulsar.LZ4, "ZLIB": pulsar.ZLib, "ZSTD": pulsar.ZSTD,
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func decoded(text string) []byte {
	out, err := base64.StdEncoding.DecodeString(text)
	check(err)
	return out
}

func publish(client pulsar.Client, one testCase) {
	options := pulsar.ProducerOptions{
		Topic:                   one.Topic,
		Name:                    one.Name,
		CompressionType:         codecs[one.Codec],
		DisableBatching:         one.Kind == "single" || one.Kind == "chunked",
		BatchingMaxMessages:     1000,
		BatchingMaxSize:         4_000_000,
		BatchingMaxPublishDelay: 10 * time.Second,
		EnableChunking:          one.Kind == "chunked",
	}
	if one.Kind == "key" {
		options.BatcherBuilderType = pulsar.KeyBasedBatchBuilder
	}
	producer, err := client.CreateProducer(options)
	check(err)
	defer producer.Close()
	for _, each := range one.Messages {
		next := pulsar.ProducerMessage{Key: each.Key, Properties: each.Properties}
		if each.Base64 != nil {
			next.Payload = bytes.Repeat(decoded(*each.Base64), max(1, each.Times))
		}
		if each.OrderingKey != "" {
			next.OrderingKey = string(decoded(each.OrderingKey))
		}
		if each.EventTimeMs != 0 {
			next.EventTime = time.UnixMilli(each.EventTimeMs)
		}
		producer.SendAsync(context.Background(), &next, func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
			check(err)
		})
		if each.Flush {
			check(producer.Flush())
		}
	}
	check(producer.Flush())
}

func main() {
	quiet := logrus.New()
	quiet.SetLevel(logrus.ErrorLevel)
	client, err := pulsar.NewClient(pulsar.ClientOptions{
		URL:    os.Args[1],
		Logger: pulsarlog.NewLoggerWithLogrus(quiet),
	})
	check(err)
	defer client.Close()
	if len(os.Args) > 2 && os.Args[2] == "schemas" {
		publishSchemas(client)
		return
	}
	var cases []testCase
	check(json.NewDecoder(os.Stdin).Decode(&cases))
	for _, one := range cases {
		publish(client, one)
	}
}
