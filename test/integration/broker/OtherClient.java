// The official Java client as another user of a subscription, for what only it can do: transactions, and single messages
// of batches. One command a line on standard input, one answer a line: `ok`, or what went wrong.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.BatcherBuilder;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.ProducerBuilder;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Schema;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.client.api.transaction.Transaction;

public class OtherClient {
    static PulsarClient client;
    static Transaction open;
    static int published = 0;

    public static void main(String[] args) throws Exception {
        client = PulsarClient.builder().serviceUrl(args[0]).enableTransaction(true).build();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer = "ok";
            try {
                run(line.split(" "));
            } catch (Throwable error) {
                answer = "failed: " + String.valueOf(error).replace('\n', ' ');
            }
            System.out.println(answer);
        }
        System.exit(0);
    }

    static void run(String[] words) throws Exception {
        switch (words[0]) {
            case "publish" -> publish(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]), words[4]);
            case "acknowledge" -> acknowledge(words);
            case "abort" -> open.abort().get(30, TimeUnit.SECONDS);
            case "commit" -> open.commit().get(30, TimeUnit.SECONDS);
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    /** publish TOPIC COUNT BATCH plain|commit|abort: messages m0, m1, ... counted on from the last call. */
    static void publish(String topic, int count, int batch, String how) throws Exception {
        Transaction transaction = how.equals("plain") ? null : begin();
        ProducerBuilder<String> builder = client.newProducer(Schema.STRING).topic(topic)
                .sendTimeout(0, TimeUnit.SECONDS).enableBatching(batch > 1);
        if (batch > 1) {
            builder.batchingMaxMessages(batch).batchingMaxPublishDelay(1, TimeUnit.HOURS)
                    .batcherBuilder(BatcherBuilder.DEFAULT);
        }
        try (Producer<String> producer = builder.create()) {
            List<CompletableFuture<MessageId>> sent = new ArrayList<>();
            for (int n = 0; n < count; n++) {
                String value = how.equals("abort") ? "aborted" : "m" + published++;
                var message = transaction == null ? producer.newMessage() : producer.newMessage(transaction);
                sent.add(message.value(value).sendAsync());
            }
            producer.flush();
            for (CompletableFuture<MessageId> one : sent) one.get(30, TimeUnit.SECONDS);
        }
        if (how.equals("commit")) transaction.commit().get(30, TimeUnit.SECONDS);
        if (how.equals("abort")) transaction.abort().get(30, TimeUnit.SECONDS);
    }

    /** acknowledge TOPIC SUBSCRIPTION plain|transaction RECEIVE INDEX...: of the messages that are received. */
    static void acknowledge(String[] words) throws Exception {
        try (Consumer<String> consumer = client.newConsumer(Schema.STRING).topic(words[1]).subscriptionName(words[2])
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest)
                .enableBatchIndexAcknowledgment(true).isAckReceiptEnabled(true)
                .acknowledgmentGroupTime(0, TimeUnit.MILLISECONDS).subscribe()) {
            List<MessageId> ids = new ArrayList<>();
            while (ids.size() < Integer.parseInt(words[4])) {
                Message<String> message = consumer.receive(30, TimeUnit.SECONDS);
                if (message == null) throw new IllegalStateException("nothing came after " + ids.size());
                ids.add(message.getMessageId());
            }
            if (words[3].equals("transaction")) open = begin();
            for (int at = 5; at < words.length; at++) {
                MessageId id = ids.get(Integer.parseInt(words[at]));
                if (words[3].equals("transaction")) consumer.acknowledgeAsync(id, open).get(30, TimeUnit.SECONDS);
                else consumer.acknowledgeAsync(id).get(30, TimeUnit.SECONDS);
            }
        }
    }

    static Transaction begin() throws Exception {
        return client.newTransaction().withTransactionTimeout(5, TimeUnit.MINUTES).build().get(60, TimeUnit.SECONDS);
    }
}
