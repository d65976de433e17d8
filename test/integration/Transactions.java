// Opens one transaction with the official Java client and leaves it as it is until its standard input says how it ends.
// Usage: java -cp JARS Transactions.java SERVICE_URL produce TOPIC COUNT | ack TOPIC SUBSCRIPTION COUNT
// Prints "open" when the broker has everything; then reads "commit", "abort", or the end of its input (stays open).
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.client.api.transaction.Transaction;

public class Transactions {
    public static void main(String[] args) throws Exception {
        PulsarClient client = PulsarClient.builder().serviceUrl(args[0]).enableTransaction(true).build();
        Transaction transaction =
                client.newTransaction().withTransactionTimeout(1, TimeUnit.HOURS).build().get();
        if (args[1].equals("produce")) produce(client, transaction, args[2], Integer.parseInt(args[3]));
        else acknowledge(client, transaction, args[2], args[3], Integer.parseInt(args[4]));
        System.out.println("open");
        String end = new BufferedReader(new InputStreamReader(System.in)).readLine();
        if ("commit".equals(end)) transaction.commit().get();
        else if ("abort".equals(end)) transaction.abort().get();
        System.out.println("ended");
        System.exit(0);
    }

    private static void produce(PulsarClient client, Transaction transaction, String topic, int count)
            throws Exception {
        Producer<byte[]> producer =
                client.newProducer().topic(topic).sendTimeout(0, TimeUnit.SECONDS).enableBatching(false).create();
        for (int i = 0; i < count; i++) {
            producer.newMessage(transaction).value(("in transaction " + i).getBytes("UTF-8")).send();
        }
        producer.close();
    }

    /** Acknowledges the last COUNT of the messages that the subscription has. */
    private static void acknowledge(
            PulsarClient client, Transaction transaction, String topic, String subscription, int count)
            throws Exception {
        Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName(subscription)
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest).subscribe();
        java.util.ArrayDeque<Message<byte[]>> last = new java.util.ArrayDeque<>();
        for (Message<byte[]> one; (one = consumer.receive(2, TimeUnit.SECONDS)) != null; ) {
            last.add(one);
            if (last.size() > count) last.remove();
        }
        for (Message<byte[]> one : last) {
            consumer.acknowledgeAsync(one.getMessageId(), transaction).get();
        }
        consumer.close();
    }
}
