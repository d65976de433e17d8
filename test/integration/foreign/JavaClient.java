// The official Java client, from the broker's own jars: publishes what a list of cases says, or reads topics to their
// end and prints each message as a line of JSON. Run as one source file: java -cp 'JARS/*' JavaClient.java publish|read URL
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.*;

public class JavaClient {
    static final ObjectMapper JSON = new ObjectMapper();
    static final int SHOWN_BYTES = 1024;

    public static void main(String[] args) throws Exception {
        JsonNode cases = JSON.readTree(System.in);
        try (PulsarClient client = PulsarClient.builder().serviceUrl(args[1]).build()) {
            for (JsonNode one : cases) {
                if (args[0].equals("publish")) publish(client, one);
                else read(client, one.get("topic").asText());
            }
        }
    }

    static void publish(PulsarClient client, JsonNode one) throws Exception {
        String kind = one.get("kind").asText();
        ProducerBuilder<byte[]> builder = client.newProducer()
            .topic(one.get("topic").asText())
            .producerName(one.get("name").asText())
            .compressionType(CompressionType.valueOf(one.get("codec").asText()))
            .enableBatching(kind.equals("batch") || kind.equals("key"))
            .batchingMaxMessages(1000)
            .batchingMaxBytes(4_000_000)
            .batchingMaxPublishDelay(10, TimeUnit.SECONDS)
            .enableChunking(kind.equals("chunked"));
        if (kind.equals("key")) builder.batcherBuilder(BatcherBuilder.KEY_BASED);
        try (Producer<byte[]> producer = builder.create()) {
            for (JsonNode message : one.get("messages")) {
                TypedMessageBuilder<byte[]> next = producer.newMessage().value(payload(message));
                if (message.has("keyBase64")) next.keyBytes(bytes(message, "keyBase64"));
                else if (message.has("key")) next.key(message.get("key").asText());
                if (message.has("orderingKey")) next.orderingKey(bytes(message, "orderingKey"));
                if (message.has("eventTimeMs")) next.eventTime(message.get("eventTimeMs").asLong());
                message.path("properties").fields()
                    .forEachRemaining(pair -> next.property(pair.getKey(), pair.getValue().asText()));
                next.sendAsync();
                if (message.path("flush").asBoolean()) producer.flush();
            }
            producer.flush();
        }
    }

    static byte[] payload(JsonNode message) throws Exception {
        if (message.get("base64").isNull()) return null;
        byte[] piece = bytes(message, "base64");
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (int i = 0; i < message.path("times").asInt(1); i++) out.write(piece);
        return out.toByteArray();
    }

    static byte[] bytes(JsonNode node, String name) {
        return Base64.getDecoder().decode(node.get(name).asText());
    }

    static void read(PulsarClient client, String topic) throws Exception {
        try (Reader<byte[]> reader = client.newReader().topic(topic).startMessageId(MessageId.earliest).create()) {
            while (reader.hasMessageAvailable()) {
                // What it cannot decode it drops, and then nothing comes.
                Message<byte[]> message = reader.readNext(5, TimeUnit.SECONDS);
                if (message == null) break;
                System.out.println(JSON.writeValueAsString(describe(topic, message)));
            }
        }
    }

    static ObjectNode describe(String topic, Message<byte[]> message) throws Exception {
        Base64.Encoder base64 = Base64.getEncoder();
        MessageIdAdv id = (MessageIdAdv) message.getMessageId();
        ObjectNode out = JSON.createObjectNode();
        out.put("topic", topic);
        out.put("id", id.getLedgerId() + ":" + id.getEntryId() + ":" + id.getPartitionIndex() + ":" + id.getBatchIndex());
        out.put("publishTimeMs", message.getPublishTime());
        if (message.getEventTime() != 0) out.put("eventTimeMs", message.getEventTime());
        if (message.hasBase64EncodedKey()) out.put("keyBase64", base64.encodeToString(message.getKeyBytes()));
        else if (message.hasKey()) out.put("key", message.getKey());
        if (message.hasOrderingKey()) out.put("orderingKey", base64.encodeToString(message.getOrderingKey()));
        ObjectNode properties = out.putObject("properties");
        message.getProperties().forEach(properties::put);
        out.put("producer", message.getProducerName());
        out.put("sequenceId", message.getSequenceId());
        byte[] value = message.getValue();
        if (value == null) out.putNull("value");
        else {
            ObjectNode told = out.putObject("value");
            told.put("sizeBytes", value.length);
            told.put("sha256", HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(value)));
            if (value.length <= SHOWN_BYTES) told.put("base64", base64.encodeToString(value));
        }
        return out;
    }
}
