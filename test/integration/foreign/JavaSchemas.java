// The official Java client with schemas: publishes values of every schema type, and prints of each message the schema of
// its version and its bytes as the broker has them, and what typed consumers and AUTO_CONSUME read of it, as JSON.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.*;
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.*;
import java.time.format.DateTimeFormatter;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.avro.generic.*;
import org.apache.avro.io.*;
import org.apache.avro.reflect.AvroSchema;
import org.apache.pulsar.client.api.*;
import org.apache.pulsar.client.api.schema.SchemaDefinition;
import org.apache.pulsar.client.impl.PulsarClientImpl;
import org.apache.pulsar.client.impl.schema.*;
import org.apache.pulsar.common.naming.TopicName;
import org.apache.pulsar.common.schema.*;

public class JavaSchemas {
    static final ObjectMapper JSON = new ObjectMapper();
    static final JsonNodeFactory NODES = new JsonNodeFactory(true);
    static final Base64.Encoder BASE64 = Base64.getEncoder();
    static PulsarClientImpl client;

    public static void main(String[] args) throws Exception {
        // Else its threads go on.
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
            error.printStackTrace();
            System.exit(1);
        });
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        client = (PulsarClientImpl) PulsarClient.builder().serviceUrl(args[0]).build();
        if (args.length > 1) {
            // What other clients published.
            for (String name : Arrays.asList(args).subList(1, args.length)) record(name, null);
        } else {
            primitives();
            avro();
            json();
            protobuf();
            keyValues();
        }
        client.close();
    }

    static <T> void primitive(String name, Schema<T> schema, T... values) throws Exception {
        send("primitive-" + name, schema, values);
        record("primitive-" + name, schema);
    }

    static void primitives() throws Exception {
        primitive("string", Schema.STRING, "", "Grüße 🌍", "{\"a\":1}");
        primitive("utf-16", new StringSchema(StandardCharsets.UTF_16), "Grüße 🌍");
        primitive("latin", new StringSchema(StandardCharsets.ISO_8859_1), "Grüße\u0080");
        primitive("boolean", Schema.BOOL, true, false);
        primitive("int8", Schema.INT8, (byte) -128, (byte) 127);
        primitive("int16", Schema.INT16, Short.MIN_VALUE, Short.MAX_VALUE);
        primitive("int32", Schema.INT32, Integer.MIN_VALUE, Integer.MAX_VALUE);
        primitive("int64", Schema.INT64, Long.MIN_VALUE, Long.MAX_VALUE, 0L, 1L << 53, (1L << 53) + 1);
        primitive("float", Schema.FLOAT, 0.1f, Float.MAX_VALUE, Float.MIN_VALUE, Float.NaN, Float.NEGATIVE_INFINITY);
        primitive("double", Schema.DOUBLE, 0.1, Double.MAX_VALUE, Double.MIN_VALUE, Double.NaN, Double.POSITIVE_INFINITY);
        primitive("bytes", Schema.BYTES, new byte[] {}, new byte[] {(byte) 0xff, 0});
        long ms = 1_764_000_000_123L;
        primitive("date", Schema.DATE, new java.util.Date(ms), new java.util.Date(-1));
        primitive("time", Schema.TIME, java.sql.Time.valueOf("10:15:30"), new java.sql.Time(ms));
        primitive("timestamp", Schema.TIMESTAMP, new java.sql.Timestamp(ms));
        primitive("instant", Schema.INSTANT, Instant.ofEpochSecond(1_764_000_000, 123_456_789), Instant.ofEpochSecond(-1, 1), Instant.EPOCH);
        primitive("local-date", Schema.LOCAL_DATE, LocalDate.of(2026, 11, 23), LocalDate.of(1, 1, 1));
        primitive("local-time", Schema.LOCAL_TIME, LocalTime.of(23, 59, 59, 999_999_999), LocalTime.MIDNIGHT);
        primitive("local-date-time", Schema.LOCAL_DATE_TIME, LocalDateTime.of(2026, 11, 23, 23, 21, 41, 1_000), LocalDateTime.of(1969, 12, 31, 23, 59, 59));
    }

    public enum Color { RED, GREEN }

    public static class Item {
        public String name;
        public int count;
        public Item() {}
        Item(String name, int count) { this.name = name; this.count = count; }
    }

    /** What fields of classes can be, as Avro's reflection takes them. */
    public static class Order {
        public long id;
        public Long maybe;
        public String text;
        public boolean yes;
        public byte small;
        public short middle;
        public char letter;
        public float ratio;
        public double price;
        public byte[] bytes;
        public int[] numbers;
        public Color color;
        public Item item;
        public List<Item> items;
        public Map<String, Item> byName;
        public Map<Integer, String> byNumber;
        public Order parent;
    }

    /** The logical types that Pulsar converts; only of Avro. */
    public static class Times {
        public LocalDate day;
        public LocalTime time;
        public Instant at;
        public LocalDateTime local;
        public UUID uuid;
        @AvroSchema("{\"type\":\"long\",\"logicalType\":\"time-micros\"}")
        public LocalTime micros;
        @AvroSchema("{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}")
        public Instant atMicros;
        @AvroSchema("{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":30,\"scale\":4}")
        public BigDecimal amount;
    }

    public static class Dated {
        public LocalDate day;
        public java.util.Date date;
        public Instant at;
        public BigDecimal amount;
        public UUID uuid;
    }

    static Order order(boolean isFull) {
        Order order = new Order();
        order.id = isFull ? (1L << 53) + 1 : -1;
        order.letter = 'ü';
        if (!isFull) return order;
        order.maybe = Long.MIN_VALUE;
        order.text = "Grüße 🌍\u0000";
        order.yes = true;
        order.small = -128;
        order.middle = -32768;
        order.ratio = 0.1f;
        order.price = 1e300;
        order.bytes = new byte[] {(byte) 0xff, 0};
        order.numbers = new int[] {1, -1};
        order.color = Color.GREEN;
        order.item = new Item("a", 1);
        order.items = List.of(new Item("b", 2), new Item(null, 3));
        order.byName = Map.of("k", new Item("c", 4));
        order.byNumber = Map.of(7, "seven");
        order.parent = order(false);
        return order;
    }

    static void avro() throws Exception {
        Schema<Order> orders = Schema.AVRO(Order.class);
        send("avro-class", orders, order(true), order(false), null);
        record("avro-class", orders);
        Schema<Item> strict = Schema.AVRO(SchemaDefinition.<Item>builder().withPojo(Item.class).withAlwaysAllowNull(false).build());
        send("avro-not-null", strict, new Item("a", -1));
        record("avro-not-null", strict);
        Times times = new Times();
        times.day = LocalDate.of(1969, 12, 31);
        times.time = LocalTime.of(1, 2, 3, 4_000_000);
        times.at = Instant.ofEpochMilli(1_764_000_000_123L);
        times.local = LocalDateTime.of(2026, 11, 23, 23, 21, 41, 123_000_000);
        times.uuid = UUID.fromString("00010203-0405-0607-0809-0a0b0c0d0e0f");
        times.micros = LocalTime.of(23, 59, 59, 999_999_000);
        times.atMicros = Instant.ofEpochSecond(-1, 999_999_000);
        times.amount = new BigDecimal("-12345678901234567890.1230");
        Schema<Times> timed = Schema.AVRO(SchemaDefinition.<Times>builder().withPojo(Times.class).withJSR310ConversionEnabled(true).build());
        send("avro-times", timed, times, new Times());
        record("avro-times", timed);
        natives();
        evolution();
        // Somebody else's bytes, under a schema: the broker keeps its version beside them.
        send("auto-produce", orders, order(false));
        try (Producer<byte[]> producer = client.newProducer(Schema.AUTO_PRODUCE_BYTES()).topic("auto-produce").create()) {
            producer.send(orders.encode(order(true)));
        }
        record("auto-produce", orders);
    }

    static void natives() throws Exception {
        String definition = "{'type':'record','name':'All','namespace':'a.b','fields':["
            + "{'name':'kind','type':{'type':'enum','name':'Kind','namespace':'c','symbols':['X','Y']}},"
            + "{'name':'same','type':['null','c.Kind']},"
            + "{'name':'hash','type':{'type':'fixed','name':'Hash','size':4}},"
            + "{'name':'hashes','type':{'type':'map','values':{'type':'array','items':'Hash'}}},"
            + "{'name':'any','type':['null','string','long','Hash','c.Kind',{'type':'record','name':'Leaf','fields':[{'name':'x','type':'double'}]},{'type':'array','items':'Leaf'}]},"
            + "{'name':'list','type':['null','All']},"
            + "{'name':'fixedDecimal','type':{'type':'fixed','name':'D','size':8,'logicalType':'decimal','precision':10,'scale':3}},"
            + "{'name':'took','type':{'type':'fixed','name':'Took','size':12,'logicalType':'duration'}},"
            + "{'name':'date','type':{'type':'int','logicalType':'date'}},"
            + "{'name':'local','type':{'type':'long','logicalType':'local-timestamp-micros'}},"
            + "{'name':'uuid','type':{'type':'string','logicalType':'uuid'}},"
            + "{'name':'none','type':'null'}]}";
        org.apache.avro.Schema avro = new org.apache.avro.Schema.Parser().parse(definition.replace('\'', '"'));
        List<byte[]> payloads = new ArrayList<>();
        GenericData.Record before = null;
        for (Object any : Arrays.asList(null, "text", Long.MAX_VALUE, fixed(avro, "hash", 1), kind(avro, "Y"), leaf(avro), List.of(leaf(avro)))) {
            GenericData.Record record = new GenericData.Record(avro);
            record.put("kind", kind(avro, "X"));
            record.put("same", any == null ? null : kind(avro, "Y"));
            record.put("hash", fixed(avro, "hash", 7));
            record.put("hashes", Map.of("k", List.of(fixed(avro, "hash", 1), fixed(avro, "hash", 2)), "", List.of()));
            record.put("any", any);
            record.put("list", before);
            record.put("fixedDecimal", new GenericData.Fixed(avro.getField("fixedDecimal").schema(), ByteBuffer.allocate(8).putLong(-1_234_567).array()));
            record.put("took", new GenericData.Fixed(avro.getField("took").schema(), new byte[] {1, 0, 0, 0, 2, 0, 0, 0, (byte) 0xbc, 0xb, 0, 0}));
            record.put("date", 20_000);
            record.put("local", 1_764_000_000_123_456L);
            record.put("uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f");
            payloads.add(encode(avro, record));
            if (any == null) before = record;
        }
        send("avro-native", Schema.NATIVE_AVRO(avro), payloads.toArray(new byte[0][]));
        record("avro-native", null);
    }

    static GenericData.Fixed fixed(org.apache.avro.Schema avro, String field, int fill) {
        byte[] bytes = new byte[4];
        Arrays.fill(bytes, (byte) fill);
        return new GenericData.Fixed(avro.getField(field).schema(), bytes);
    }

    static GenericData.EnumSymbol kind(org.apache.avro.Schema avro, String symbol) {
        return new GenericData.EnumSymbol(avro.getField("kind").schema(), symbol);
    }

    static GenericData.Record leaf(org.apache.avro.Schema avro) {
        GenericData.Record leaf = new GenericData.Record(avro.getField("any").schema().getTypes().get(5));
        leaf.put("x", 0.5);
        return leaf;
    }

    static byte[] encode(org.apache.avro.Schema schema, Object value) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        Encoder encoder = EncoderFactory.get().binaryEncoder(out, null);
        new GenericDatumWriter<>(schema).write(value, encoder);
        encoder.flush();
        return out.toByteArray();
    }

    /** Three versions of one schema on one topic: each message is read as it was written. */
    static void evolution() throws Exception {
        String[] versions = {
            "{'name':'a','type':'int'},{'name':'gone','type':['null','string'],'default':null}",
            "{'name':'a','type':'int'}",
            "{'name':'new','type':{'type':'array','items':'int'},'default':[]},{'name':'a','type':'long'}",
        };
        for (int i = 0; i < versions.length; i++) {
            String definition = "{'type':'record','name':'Evolved','fields':[" + versions[i] + "]}";
            org.apache.avro.Schema avro = new org.apache.avro.Schema.Parser().parse(definition.replace('\'', '"'));
            GenericData.Record record = new GenericData.Record(avro);
            record.put("a", i == 2 ? (Object) Long.MAX_VALUE : (Object) i);
            if (i == 0) record.put("gone", "text");
            if (i == 2) record.put("new", List.of(1, 2));
            send("avro-evolution", Schema.NATIVE_AVRO(avro), encode(avro, record));
        }
        record("avro-evolution", null);
    }

    static void json() throws Exception {
        Schema<Order> orders = Schema.JSON(Order.class);
        send("json-class", orders, order(true), order(false), null);
        record("json-class", orders);
        Dated dated = new Dated();
        dated.day = LocalDate.of(2026, 11, 23);
        dated.date = new java.util.Date(1_764_000_000_123L);
        dated.at = Instant.ofEpochMilli(1_764_000_000_123L);
        dated.amount = new BigDecimal("-12345678901234567890.1230");
        dated.uuid = UUID.fromString("00010203-0405-0607-0809-0a0b0c0d0e0f");
        Schema<Dated> dates = Schema.JSON(SchemaDefinition.<Dated>builder().withPojo(Dated.class).withJSR310ConversionEnabled(true).build());
        send("json-times", dates, dated, new Dated());
        record("json-times", dates);
    }

    static shop.Shop.Order.Builder message() {
        return shop.Shop.Order.newBuilder().setId(Long.MIN_VALUE).setBig(-1).setCustomer("Grüße 🌍").setPaid(true).setPrice(0.1)
            .setWeight(0.1f).setSignature(com.google.protobuf.ByteString.copyFrom(new byte[] {(byte) 0xff, 0})).setDelta(-(1L << 53) - 1)
            .setCode(-1).setOffset(-5).setUnsigned(-1).setState(shop.Shop.State.SHUT).addNumbers(1).addNumbers(-1).addTags("a")
            .setMain(item("m", -1)).addItems(item("i", 1)).addItems(item("", 0)).putLabels("k", "v").putByName("n", item("o", 2))
            .putCounts(-7, -8).setCash(0).setMaybe(0)
            .setAt(com.google.protobuf.Timestamp.newBuilder().setSeconds(1_764_000_000).setNanos(123_456_789))
            .setTook(com.google.protobuf.Duration.newBuilder().setSeconds(-1).setNanos(-500_000_000))
            .setWrapped(com.google.protobuf.Int64Value.of(Long.MAX_VALUE))
            .setNotes(com.google.protobuf.Struct.newBuilder().putFields("a", com.google.protobuf.Value.newBuilder().setNumberValue(1.5).build()))
            .addStates(shop.Shop.State.SHUT).addStatesValue(9).setSmall(-3);
    }

    static shop.Shop.Item item(String name, int count) {
        return shop.Shop.Item.newBuilder().setName(name).setCount(count).build();
    }

    static void protobuf() throws Exception {
        shop.Shop.Order full = message().setParent(message().setCard("c")).build();
        for (boolean isNative : new boolean[] {true, false}) {
            String topic = isNative ? "protobuf-native" : "protobuf";
            Schema<shop.Shop.Order> schema = isNative ? Schema.PROTOBUF_NATIVE(shop.Shop.Order.class) : Schema.PROTOBUF(shop.Shop.Order.class);
            send(topic, schema, full, shop.Shop.Order.getDefaultInstance());
            record(topic, schema);
        }
    }

    static void keyValues() throws Exception {
        for (KeyValueEncodingType encoding : KeyValueEncodingType.values()) {
            String end = encoding.name().toLowerCase();
            Schema<KeyValue<Item, Order>> avro = Schema.KeyValue(Schema.AVRO(Item.class), Schema.AVRO(Order.class), encoding);
            send("key-value-avro-" + end, avro, new KeyValue<>(new Item("k", 1), order(true)), new KeyValue<>(new Item(null, 2), null), new KeyValue<>(null, order(false)));
            record("key-value-avro-" + end, avro);
            Schema<KeyValue<Integer, Item>> mixed = Schema.KeyValue(Schema.INT32, Schema.JSON(Item.class), encoding);
            send("key-value-mixed-" + end, mixed, new KeyValue<>(-1, new Item("v", 2)), new KeyValue<>(7, null));
            record("key-value-mixed-" + end, mixed);
            Schema<KeyValue<String, Instant>> plain = Schema.KeyValue(Schema.STRING, Schema.INSTANT, encoding);
            send("key-value-plain-" + end, plain, new KeyValue<>("", Instant.EPOCH), new KeyValue<>("ü", null));
            record("key-value-plain-" + end, plain);
        }
        Schema<KeyValue<String, shop.Shop.Item>> messages = Schema.KeyValue(Schema.STRING, Schema.PROTOBUF_NATIVE(shop.Shop.Item.class), KeyValueEncodingType.SEPARATED);
        send("key-value-protobuf-separated", messages, new KeyValue<>("k", item("i", 1)));
        record("key-value-protobuf-separated", messages);
        record("key-value-bytes-inline", send("key-value-bytes-inline", Schema.KV_BYTES(), new KeyValue<>(new byte[] {1}, new byte[] {(byte) 0xff})));
    }

    @SafeVarargs
    static <T> Schema<T> send(String topic, Schema<T> schema, T... values) throws Exception {
        try (Producer<T> producer = client.newProducer(schema).topic(topic).enableBatching(false).create()) {
            for (T value : values) producer.newMessage().value(value).send();
        }
        return schema;
    }

    /** Prints the messages of a topic, with the schema of each; typed values where the class is known. */
    static <T> void record(String topic, Schema<T> typed) throws Exception {
        Iterator<ObjectNode> typedValues = typed == null ? null : values(topic, typed);
        Iterator<ObjectNode> generic = values(topic, Schema.AUTO_CONSUME());
        try (Reader<byte[]> reader = client.newReader(Schema.BYTES).topic(topic).startMessageId(MessageId.earliest).create()) {
            while (reader.hasMessageAvailable()) {
                Message<byte[]> message = reader.readNext(5, TimeUnit.SECONDS);
                ObjectNode out = NODES.objectNode();
                out.put("topic", topic);
                byte[] version = message.getSchemaVersion();
                out.put("version", version == null ? null : BASE64.encodeToString(version));
                out.set("schema", version == null ? NODES.nullNode() : schemaOf(topic, version));
                if (message.hasKey()) out.put("key", BASE64.encodeToString(message.getKeyBytes()));
                out.put("payload", message.getValue() == null ? null : BASE64.encodeToString(message.getData()));
                if (typedValues != null) out.set("typed", next(typedValues));
                out.set("generic", next(generic));
                System.out.println(JSON.writeValueAsString(out));
            }
        }
    }

    static JsonNode next(Iterator<ObjectNode> values) {
        return values.hasNext() ? values.next() : NODES.nullNode();
    }

    static JsonNode schemaOf(String topic, byte[] version) throws Exception {
        SchemaInfo info = client.getLookup().getSchema(TopicName.get(topic), version).get().get();
        ObjectNode out = NODES.objectNode();
        out.put("type", info.getType().name());
        out.put("name", info.getName());
        ObjectNode properties = out.putObject("properties");
        new TreeMap<>(info.getProperties()).forEach(properties::put);
        out.put("definition", BASE64.encodeToString(info.getSchema()));
        return out;
    }

    /** `{value}` and for pairs `{key, value}` of each message; `{error}` where the client cannot read it. */
    static <T> Iterator<ObjectNode> values(String topic, Schema<T> schema) {
        List<ObjectNode> all = new ArrayList<>();
        try (Reader<T> reader = client.newReader(schema).topic(topic).startMessageId(MessageId.earliest).create()) {
            while (reader.hasMessageAvailable()) {
                Message<T> message = reader.readNext(5, TimeUnit.SECONDS);
                ObjectNode out = NODES.objectNode();
                all.add(out);
                try {
                    Object value = message.getValue();
                    if (value instanceof org.apache.pulsar.client.api.schema.GenericRecord) value = ((org.apache.pulsar.client.api.schema.GenericRecord) value).getNativeObject();
                    if (value instanceof KeyValue) {
                        out.set("key", show(((KeyValue<?, ?>) value).getKey()));
                        value = ((KeyValue<?, ?>) value).getValue();
                    }
                    out.set("value", show(value));
                } catch (Exception e) {
                    out.put("error", String.valueOf(e.getMessage()));
                }
            }
        } catch (Exception e) {
            System.err.println(topic + ": " + e.getMessage());
        }
        return all.iterator();
    }

    static JsonNode show(Object value) throws Exception {
        if (value == null) return NODES.nullNode();
        if (value instanceof org.apache.pulsar.client.api.schema.GenericRecord) return show(((org.apache.pulsar.client.api.schema.GenericRecord) value).getNativeObject());
        if (value instanceof JsonNode) return (JsonNode) value;
        if (value instanceof Boolean) return NODES.booleanNode((Boolean) value);
        if (value instanceof Float || value instanceof Double) {
            double number = ((Number) value).doubleValue();
            if (Double.isNaN(number) || Double.isInfinite(number)) return NODES.textNode(value.toString());
            return NODES.numberNode(new BigDecimal(value.toString()));
        }
        if (value instanceof BigDecimal) return NODES.textNode(((BigDecimal) value).toPlainString());
        if (value instanceof Number) return NODES.numberNode(((Number) value).longValue());
        if (value instanceof Character) return NODES.numberNode((int) (Character) value);
        if (value instanceof byte[]) return NODES.textNode(BASE64.encodeToString((byte[]) value));
        if (value instanceof ByteBuffer) return show(Arrays.copyOfRange(((ByteBuffer) value).array(), ((ByteBuffer) value).position(), ((ByteBuffer) value).limit()));
        if (value instanceof GenericFixed) return show(((GenericFixed) value).bytes());
        if (value instanceof com.google.protobuf.ByteString) return show(((com.google.protobuf.ByteString) value).toByteArray());
        if (value instanceof java.sql.Time && ((java.sql.Time) value).getTime() < 86_400_000) return NODES.textNode(time(((java.sql.Time) value).toLocalTime()) + "Z");
        if (value instanceof java.util.Date) return show(Instant.ofEpochMilli(((java.util.Date) value).getTime()));
        if (value instanceof Instant) return NODES.textNode(dateTime(LocalDateTime.ofInstant((Instant) value, ZoneOffset.UTC)) + "Z");
        if (value instanceof LocalDateTime) return NODES.textNode(dateTime((LocalDateTime) value));
        if (value instanceof LocalTime) return NODES.textNode(time((LocalTime) value));
        if (value instanceof IndexedRecord) return showRecord((IndexedRecord) value);
        if (value instanceof com.google.protobuf.Message) return showMessage((com.google.protobuf.Message) value);
        if (value instanceof Map) return showMap((Map<?, ?>) value);
        if (value instanceof int[]) return JSON.valueToTree(value);
        if (value instanceof Collection) {
            ArrayNode list = NODES.arrayNode();
            for (Object item : (Collection<?>) value) list.add(show(item));
            return list;
        }
        if (value instanceof CharSequence || value instanceof Enum || value instanceof UUID || value instanceof LocalDate || value instanceof GenericEnumSymbol)
            return NODES.textNode(value.toString());
        if (value instanceof com.google.protobuf.Descriptors.EnumValueDescriptor) {
            com.google.protobuf.Descriptors.EnumValueDescriptor symbol = (com.google.protobuf.Descriptors.EnumValueDescriptor) value;
            return symbol.getIndex() < 0 ? NODES.numberNode(symbol.getNumber()) : NODES.textNode(symbol.getName());
        }
        ObjectNode out = NODES.objectNode();
        for (java.lang.reflect.Field field : value.getClass().getFields()) out.set(field.getName(), show(field.get(value)));
        return out;
    }

    static String time(LocalTime time) {
        int nano = time.getNano();
        String fraction = nano % 1_000_000 == 0 ? "SSS" : nano % 1_000 == 0 ? "SSSSSS" : "SSSSSSSSS";
        return DateTimeFormatter.ofPattern("HH:mm:ss." + fraction).format(time);
    }

    static String dateTime(LocalDateTime time) {
        return time.toLocalDate() + "T" + time(time.toLocalTime());
    }

    /** Fields of a generic record are as they are encoded; Avro's own conversions say what they mean. */
    static JsonNode showRecord(IndexedRecord record) throws Exception {
        ObjectNode out = NODES.objectNode();
        for (org.apache.avro.Schema.Field field : record.getSchema().getFields())
            out.set(field.name(), show(convert(record.get(field.pos()), field.schema())));
        return out;
    }

    static final GenericData CONVERSIONS = new GenericData();
    static {
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.DateConversion());
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.TimeMillisConversion());
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.TimeMicrosConversion());
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.TimestampMillisConversion());
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.TimestampMicrosConversion());
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.LocalTimestampMillisConversion());
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.LocalTimestampMicrosConversion());
        CONVERSIONS.addLogicalTypeConversion(new org.apache.avro.Conversions.DecimalConversion());
    }

    static Object convert(Object value, org.apache.avro.Schema schema) {
        if (value == null) return null;
        if (schema.isUnion()) return convert(value, schema.getTypes().get(CONVERSIONS.resolveUnion(schema, value)));
        org.apache.avro.LogicalType type = schema.getLogicalType();
        if (value instanceof GenericFixed && "Took".equals(schema.getName())) {
            ByteBuffer parts = ByteBuffer.wrap(((GenericFixed) value).bytes()).order(java.nio.ByteOrder.LITTLE_ENDIAN);
            return "P" + parts.getInt() + "M" + parts.getInt() + "D" + Duration.ofMillis(parts.getInt()).toString().substring(1);
        }
        org.apache.avro.Conversion<?> conversion = type == null ? null : CONVERSIONS.getConversionFor(type);
        return conversion == null ? value : org.apache.avro.Conversions.convertToLogicalType(value, schema, type, conversion);
    }

    /** Avro makes pairs of maps whose keys are no texts. */
    static JsonNode showMap(Map<?, ?> map) throws Exception {
        ObjectNode out = NODES.objectNode();
        ArrayNode pairs = NODES.arrayNode();
        boolean isText = true;
        for (Map.Entry<?, ?> entry : new TreeMap<>(map).entrySet()) {
            isText = isText && entry.getKey() instanceof CharSequence;
            out.set(entry.getKey().toString(), show(entry.getValue()));
            pairs.addObject().<ObjectNode>set("key", show(entry.getKey())).set("value", show(entry.getValue()));
        }
        return isText ? out : pairs;
    }

    static JsonNode showMessage(com.google.protobuf.Message message) throws Exception {
        String name = message.getDescriptorForType().getFullName();
        Map<String, Object> fields = new LinkedHashMap<>();
        ObjectNode out = NODES.objectNode();
        for (com.google.protobuf.Descriptors.FieldDescriptor field : message.getDescriptorForType().getFields()) {
            boolean isThere = field.isRepeated() || !field.hasPresence() || message.hasField(field);
            if (!isThere) continue;
            Object value = message.getField(field);
            fields.put(field.getName(), value);
            if (field.isMapField()) {
                ObjectNode map = out.putObject(field.getName());
                for (Object entry : (List<?>) value) {
                    com.google.protobuf.Message pair = (com.google.protobuf.Message) entry;
                    Object inner = pair.getField(pair.getDescriptorForType().findFieldByNumber(2));
                    map.set(String.valueOf(pair.getField(pair.getDescriptorForType().findFieldByNumber(1))), show(inner));
                }
            } else if (field.getType().name().startsWith("U") || field.getType().name().startsWith("FIXED")) {
                boolean isInt = value instanceof Integer;
                out.put(field.getName(), isInt ? new java.math.BigInteger(Integer.toUnsignedString((Integer) value)) : new java.math.BigInteger(Long.toUnsignedString((Long) value)));
            } else out.set(field.getName(), show(value));
        }
        if (name.equals("google.protobuf.Timestamp"))
            return show(Instant.ofEpochSecond((Long) fields.get("seconds"), (Integer) fields.get("nanos")));
        if (name.equals("google.protobuf.Duration")) {
            Duration took = Duration.ofSeconds((Long) fields.get("seconds"), (Integer) fields.get("nanos"));
            return NODES.textNode(took.isNegative() ? "-" + took.negated() : took.toString());
        }
        if (name.equals("google.protobuf.Int64Value")) return show(fields.get("value"));
        if (name.equals("google.protobuf.Struct") || name.equals("google.protobuf.Value"))
            return JSON.readTree(com.google.protobuf.util.JsonFormat.printer().print(message));
        return out;
    }
}
