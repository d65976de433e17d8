//! The Rust client (crate `pulsar`): publishes what a list of cases on stdin says. Only for recording; it knows no
//! key-based batches, chunks, or null values. Usage: rust-client SERVICE_URL < cases.json
use base64::{engine::general_purpose::STANDARD, Engine};
use pulsar::compression::*;
use pulsar::{producer, Pulsar, TokioExecutor};
use serde_json::Value;

fn message(case: &Value) -> producer::Message {
    let piece = STANDARD.decode(case["base64"].as_str().unwrap()).unwrap();
    let text = |name: &str| case[name].as_str().map(str::to_string);
    producer::Message {
        payload: piece.repeat(case["times"].as_u64().unwrap_or(1) as usize),
        partition_key: text("key"),
        ordering_key: text("orderingKey").map(|key| STANDARD.decode(key).unwrap()),
        event_time: case["eventTimeMs"].as_u64(),
        properties: case["properties"]
            .as_object()
            .map(|pairs| pairs.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_string())).collect())
            .unwrap_or_default(),
        ..Default::default()
    }
}

#[tokio::main]
async fn main() {
    let cases: Vec<Value> = serde_json::from_reader(std::io::stdin()).unwrap();
    let url = std::env::args().nth(1).unwrap();
    let client: Pulsar<_> = Pulsar::builder(url, TokioExecutor).build().await.unwrap();
    for case in cases {
        let mut producer = client
            .producer()
            .with_topic(case["topic"].as_str().unwrap())
            .with_name(case["name"].as_str().unwrap())
            .with_options(producer::ProducerOptions {
                batch_size: (case["kind"] == "batch").then_some(1000),
                compression: Some(match case["codec"].as_str().unwrap() {
                    "LZ4" => Compression::Lz4(CompressionLz4::default()),
                    "ZLIB" => Compression::Zlib(CompressionZlib::default()),
                    "ZSTD" => Compression::Zstd(CompressionZstd::default()),
                    "SNAPPY" => Compression::Snappy(CompressionSnappy::default()),
                    _ => Compression::None,
                }),
                ..Default::default()
            })
            .build()
            .await
            .unwrap();
        let mut receipts = Vec::new();
        for each in case["messages"].as_array().unwrap() {
            receipts.push(producer.send_non_blocking(message(each)).await.unwrap());
            if each["flush"] == true && case["kind"] == "batch" {
                producer.send_batch().await.unwrap();
            }
        }
        if case["kind"] == "batch" {
            producer.send_batch().await.unwrap();
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
        producer.close().await.unwrap();
    }
}
