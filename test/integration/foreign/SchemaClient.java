// The official Java client with schemas: publishes messages of a schema, or reads a topic to its end with one and prints
// each message as a line of JSON. Run as one source file: java -cp 'JARS/*' SchemaClient.java publish|read URL
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Base64;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.*;
import org.apache.pulsar.client.api.schema.GenericObject;
import org.apache.pulsar.client.api.schema.GenericRecord;
import org.apache.pulsar.client.api.schema.SchemaDefinition;
import org.apache.pulsar.common.schema.KeyValue;
import org.apache.pulsar.common.schema.KeyValueEncodingType;

public class SchemaClient {
    static final ObjectMapper JSON = new ObjectMapper();

    public static class Order {
        public int id;
        public String name;
    }

    /** What an Order became: with a field more. */
    public static class OrderWithPrice {
        public int id;
        public String name;
        public Long price;
    }

    public static void main(String[] args) throws Exception {
        JsonNode cases = JSON.readTree(System.in);
        ClientBuilder builder = PulsarClient.builder().serviceUrl(args[1]);
        if (args.length > 2) builder.authentication(AuthenticationFactory.token(args[2]));
        try (PulsarClient client = builder.build()) {
            for (JsonNode one : cases) {
                if (args[0].equals("publish")) publish(client, one);
                else read(client, one);
            }
        }
    }

    static <T> Schema<T> avro(Class<T> type) {
        return Schema.AVRO(SchemaDefinition.<T>builder().withPojo(type).withAlwaysAllowNull(true).build());
    }

    static Schema<?> schema(String name) {
        return switch (name) {
            case "avro" -> avro(Order.class);
            case "avro-evolved" -> avro(OrderWithPrice.class);
            case "json" -> Schema.JSON(Order.class);
            case "string" -> Schema.STRING;
            case "bytes" -> Schema.BYTES;
            case "int64" -> Schema.INT64;
            case "kv-separated" -> Schema.KeyValue(avro(Order.class), avro(OrderWithPrice.class), KeyValueEncodingType.SEPARATED);
            case "kv-inline" -> Schema.KeyValue(Schema.STRING, Schema.JSON(Order.class), KeyValueEncodingType.INLINE);
            case "auto" -> Schema.AUTO_CONSUME();
            default -> throw new IllegalArgumentException(name);
        };
    }

    static Order order(int n) {
        Order order = new Order();
        order.id = n;
        order.name = "order " + n;
        return order;
    }

    static OrderWithPrice priced(int n) {
        OrderWithPrice order = new OrderWithPrice();
        order.id = n;
        order.name = "order " + n;
        order.price = n % 2 == 0 ? 9007199254740993L : null;
        return order;
    }

    static Object value(String name, int n) {
        return switch (name) {
            case "avro", "json" -> order(n);
            case "avro-evolved" -> priced(n);
            case "string" -> "text " + n;
            case "bytes" -> ("bytes " + n).getBytes();
            case "int64" -> 9007199254740993L + n;
            case "kv-separated" -> new KeyValue<>(order(n), priced(n));
            case "kv-inline" -> new KeyValue<>("key " + n, order(n));
            default -> throw new IllegalArgumentException(name);
        };
    }

    @SuppressWarnings("unchecked")
    static void publish(PulsarClient client, JsonNode one) throws Exception {
        String name = one.get("schema").asText();
        int from = one.path("from").asInt(0);
        try (Producer<Object> producer = client.newProducer((Schema<Object>) schema(name))
                .topic(one.get("topic").asText())
                .enableBatching(one.path("batching").asBoolean(true))
                .batchingMaxPublishDelay(5, TimeUnit.MILLISECONDS)
                .create()) {
            for (int n = from; n < from + one.get("count").asInt(); n++)
                producer.newMessage().value(value(name, n)).property("n", "" + n).sendAsync();
            producer.flush();
        }
    }

    @SuppressWarnings("unchecked")
    static void read(PulsarClient client, JsonNode one) throws Exception {
        String topic = one.get("topic").asText();
        String name = one.get("schema").asText();
        try (Reader<Object> reader = client.newReader((Schema<Object>) schema(name))
                .topic(topic).startMessageId(MessageId.earliest).create()) {
            while (reader.hasMessageAvailable()) {
                Message<Object> message = reader.readNext(5, TimeUnit.SECONDS);
                if (message == null) break;
                ObjectNode out = JSON.createObjectNode();
                out.put("topic", topic);
                out.put("as", name);
                out.put("n", Integer.parseInt(message.getProperty("n")));
                byte[] version = message.getSchemaVersion();
                if (version != null) out.put("version", Base64.getEncoder().encodeToString(version));
                try {
                    out.put("value", text(message.getValue()));
                } catch (Exception e) {
                    out.put("error", String.valueOf(e.getMessage()));
                }
                System.out.println(JSON.writeValueAsString(out));
            }
        } catch (PulsarClientException e) {
            ObjectNode out = JSON.createObjectNode();
            out.put("topic", topic);
            out.put("as", name);
            out.put("error", String.valueOf(e.getMessage()));
            System.out.println(JSON.writeValueAsString(out));
        }
    }

    static String text(Object value) throws Exception {
        if (value == null) return "null";
        if (value instanceof KeyValue<?, ?> pair) return text(pair.getKey()) + " = " + text(pair.getValue());
        if (value instanceof byte[] bytes) return new String(bytes);
        if (value instanceof GenericRecord record && record.getFields() != null && !record.getFields().isEmpty()) {
            Map<String, String> fields = new TreeMap<>();
            for (var field : record.getFields()) fields.put(field.getName(), text(record.getField(field)));
            return fields.toString();
        }
        if (value instanceof GenericObject object) return text(object.getNativeObject());
        if (value instanceof Order order) return new TreeMap<>(Map.of("id", "" + order.id, "name", order.name)).toString();
        if (value instanceof OrderWithPrice order)
            return new TreeMap<>(Map.of("id", "" + order.id, "name", order.name, "price", "" + order.price)).toString();
        return value.toString();
    }
}
