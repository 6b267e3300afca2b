// OkHttp in its defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
import java.nio.file.*;
import okhttp3.*;
import okio.BufferedSink;

public class OkClient {
    public static void main(String[] args) throws Exception {
        OkHttpClient client = new OkHttpClient();
        for (int i = 1; i < args.length; i += 3) {
            String[] proof = args[i + 1].split(": ", 2);
            byte[] bytes = Files.readAllBytes(Path.of(args[i + 2]));
            RequestBody body = args[0].equals("sized") ? RequestBody.create(null, bytes) : new Streamed(bytes);
            Request request = new Request.Builder().url(args[i]).header(proof[0], proof[1]).post(body).build();
            try (Response response = client.newCall(request).execute()) {
                System.out.println(response.code() + " " + response.body().string());
            }
        }
        System.exit(0);
    }

    /** A body whose length is not known before. */
    static class Streamed extends RequestBody {
        private final byte[] bytes;

        Streamed(byte[] bytes) {
            this.bytes = bytes;
        }

        @Override
        public MediaType contentType() {
            return null;
        }

        @Override
        public void writeTo(BufferedSink sink) throws java.io.IOException {
            sink.write(bytes);
        }
    }
}
