import java.nio.charset.StandardCharsets;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksIterator;
import org.rocksdb.WriteOptions;

/**
 * Deletes what a killed bookie left in a standalone Pulsar's metadata: its registration.
 *
 * A bookie that finds its own stale registration deletes it and makes a new one. When the notice of
 * the deletion arrives late, it takes it for the loss of the new one, and deletes and makes it again
 * for ever: two cores busy, a hundred megabytes of log a minute, an unsteady broker. Without a stale
 * registration nothing is deleted and nothing starts. Run only while the broker is down; the path
 * of the metadata's folder is the one argument. Needs no compilation: `java -cp ... this-file`.
 */
public final class ForgetDeadBookie {
    private static final String BOOKIES = "/ledgers/available/";

    public static void main(String[] args) throws Exception {
        RocksDB.loadLibrary();
        try (Options options = new Options().setCreateIfMissing(false);
                WriteOptions durable = new WriteOptions().setSync(true);
                RocksDB db = RocksDB.open(options, args[0]);
                RocksIterator it = db.newIterator()) {
            it.seek(BOOKIES.getBytes(StandardCharsets.UTF_8));
            for (; it.isValid(); it.next()) {
                String path = new String(it.key(), StandardCharsets.UTF_8);
                if (!path.startsWith(BOOKIES)) {
                    break;
                }
                // The folder of read-only bookies is no registration; its entries are.
                if (!path.equals(BOOKIES + "readonly")) {
                    db.delete(durable, it.key());
                    System.out.println("deleted the stale registration " + path);
                }
            }
        }
    }
}
