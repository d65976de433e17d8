package main

import (
	"context"
	"math/big"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/sourcecontextpb"
	"google.golang.org/protobuf/types/known/typepb"
)

const orderDefinition = `{
  "type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "count", "type": "int", "default": 0},
    {"name": "text", "type": ["null", "string"], "default": null},
    {"name": "paid", "type": "boolean"},
    {"name": "ratio", "type": "float"},
    {"name": "price", "type": "double"},
    {"name": "data", "type": ["null", "bytes"], "default": null},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "items", "type": {"type": "array", "items": {
      "type": "record", "name": "Item", "fields": [{"name": "name", "type": "string"}]}}},
    {"name": "labels", "type": {"type": "map", "values": "string"}}
  ]}`

const logicalDefinition = `{
  "type": "record", "name": "Logical", "namespace": "shop", "fields": [
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "color", "type": {"type": "enum", "name": "Color", "symbols": ["RED", "GREEN"]}},
    {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 2}},
    {"name": "any", "type": ["null", "long", "string", {"type": "map", "values": "int"}]}
  ]}`

type item struct {
	Name string `avro:"name" json:"name"`
}

type order struct {
	ID     int64             `avro:"id" json:"id"`
	Count  int32             `avro:"count" json:"count"`
	Text   *string           `avro:"text" json:"text"`
	Paid   bool              `avro:"paid" json:"paid"`
	Ratio  float32           `avro:"ratio" json:"ratio"`
	Price  float64           `avro:"price" json:"price"`
	Data   []byte            `avro:"data" json:"data"`
	At     time.Time         `avro:"at" json:"at"`
	Items  []item            `avro:"items" json:"items"`
	Labels map[string]string `avro:"labels" json:"labels"`
}

type logical struct {
	Amount *big.Rat  `avro:"amount"`
	Day    time.Time `avro:"day"`
	At     time.Time `avro:"at"`
	Color  string    `avro:"color"`
	Digest [2]byte   `avro:"digest"`
	Any    any       `avro:"any"`
}

// Publishes values of every schema type that this client has, each type on a topic of its own.
func publishSchemas(client pulsar.Client) {
	text := "Grüße 🌍 <&>"
	at := time.Date(2026, 11, 23, 23, 21, 41, 123_000_000, time.UTC)
	orders := []any{
		order{
			ID: 1<<53 + 1, Count: -1, Text: &text, Paid: true, Ratio: 0.5, Price: 0.1, Data: []byte{0xff, 0}, At: at,
			Items: []item{{"i"}, {""}}, Labels: map[string]string{"k": "v"},
		},
		order{ID: -1 << 63, At: time.UnixMilli(0).UTC()},
	}
	message := &typepb.Type{
		Name:          "n",
		Fields:        []*typepb.Field{{Kind: typepb.Field_TYPE_INT64, Number: -7, Packed: true, JsonName: "ü"}},
		Oneofs:        []string{"a", ""},
		Options:       []*typepb.Option{{Name: "o", Value: &anypb.Any{TypeUrl: "t/u", Value: []byte{1, 0xff}}}},
		SourceContext: &sourcecontextpb.SourceContext{FileName: "f"},
		Syntax:        typepb.Syntax_SYNTAX_PROTO3,
	}
	itemOf := func(name string) item { return item{name} }
	const itemDefinition = `{"type":"record","name":"Item","fields":[{"name":"name","type":"string"}]}`
	send := func(topic string, schema pulsar.Schema, values ...any) {
		producer, err := client.CreateProducer(pulsar.ProducerOptions{Topic: topic, Schema: schema})
		check(err)
		defer producer.Close()
		for _, value := range values {
			_, err := producer.Send(context.Background(), &pulsar.ProducerMessage{Value: value})
			check(err)
		}
	}
	send("go-avro", pulsar.NewAvroSchema(orderDefinition, nil), orders...)
	send("go-avro-logical", pulsar.NewAvroSchema(logicalDefinition, nil),
		logical{big.NewRat(-12345, 1000), at, at.Add(456 * time.Microsecond), "GREEN", [2]byte{1, 255}, int64(7)},
		logical{big.NewRat(0, 1), time.Unix(-86400, 0).UTC(), time.Unix(0, 0).UTC(), "RED", [2]byte{}, "text"})
	send("go-json", pulsar.NewJSONSchema(orderDefinition, nil), orders...)
	send("go-protobuf-native", pulsar.NewProtoNativeSchemaWithMessage(message, nil), message, &typepb.Type{})
	send("go-protobuf", pulsar.NewProtoSchema(itemDefinition, nil), &sourcecontextpb.SourceContext{FileName: "f"})
	send("go-string", pulsar.NewStringSchema(nil), text, "")
	send("go-bytes", pulsar.NewBytesSchema(nil), []byte{0xff, 0})
	send("go-int8", pulsar.NewInt8Schema(nil), int8(-5))
	send("go-int16", pulsar.NewInt16Schema(nil), int16(-500))
	send("go-int32", pulsar.NewInt32Schema(nil), int32(70_000))
	send("go-int64", pulsar.NewInt64Schema(nil), int64(1<<53+1))
	send("go-float", pulsar.NewFloatSchema(nil), float32(0.5))
	send("go-double", pulsar.NewDoubleSchema(nil), 0.1)
	send("go-evolution", pulsar.NewAvroSchema(itemDefinition, nil), itemOf("a"))
	send("go-evolution", pulsar.NewAvroSchema(`{"type":"record","name":"Item","fields":[
		{"name":"more","type":["null","int"],"default":null},{"name":"name","type":"string"}]}`, nil),
		map[string]any{"name": "b", "more": map[string]any{"int": 1}})
}
