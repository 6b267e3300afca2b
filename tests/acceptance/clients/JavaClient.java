// The JDK's own clients, in their defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.file.*;

public class JavaClient {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        for (int i = 1; i < args.length; i += 3) {
            String[] proof = args[i + 1].split(": ", 2);
            byte[] body = Files.readAllBytes(Path.of(args[i + 2]));
            switch (args[0]) {
                case "sized" -> modern(args[i], proof, HttpRequest.BodyPublishers.ofByteArray(body));
                case "streamed" -> modern(args[i], proof,
                    HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body)));
                case "old" -> old(args[i], proof, body, false);
                case "old-chunked" -> old(args[i], proof, body, true);
                default -> throw new IllegalArgumentException(args[0]);
            }
        }
    }

    static void modern(String url, String[] proof, HttpRequest.BodyPublisher body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).header(proof[0], proof[1]).POST(body).build();
        HttpResponse<String> response = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.body());
    }

    static void old(String url, String[] proof, byte[] body, boolean chunked) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setRequestMethod("POST");
        connection.setRequestProperty(proof[0], proof[1]);
        connection.setDoOutput(true);
        if (chunked) {
            connection.setChunkedStreamingMode(0);
        }
        try (OutputStream out = connection.getOutputStream()) {
            out.write(body);
        }
        int status = connection.getResponseCode();
        try (InputStream in = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            System.out.println(status + " " + new String(in.readAllBytes()));
        }
    }
}
