import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;

/** Posts files with Java's own clients in their defaults: Post new|old URL (FILE SIGNATURE)... */
public class Post {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int at = 2; at < arguments.length; at += 2) {
            Path file = Path.of(arguments[at]);
            System.out.println(arguments[0].equals("new")
                ? withHttpClient(client, arguments[1], file, arguments[at + 1])
                : withConnection(arguments[1], file, arguments[at + 1]));
        }
    }

    static int withHttpClient(HttpClient client, String url, Path file, String signature) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
            .header("Content-Type", "application/json")
            .header("X-Signature", signature)
            .POST(HttpRequest.BodyPublishers.ofFile(file))
            .build();
        return client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
    }

    static int withConnection(String url, Path file, String signature) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        connection.setDoOutput(true);
        connection.setRequestProperty("Content-Type", "application/json");
        connection.setRequestProperty("X-Signature", signature);
        connection.getOutputStream().write(Files.readAllBytes(file));
        int status = connection.getResponseCode();
        connection.getInputStream().readAllBytes();
        return status;
    }
}
