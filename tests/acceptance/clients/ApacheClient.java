// Apache HttpClient 5 in its defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
import java.io.ByteArrayInputStream;
import java.nio.file.*;
import org.apache.hc.client5.http.classic.methods.HttpPost;
import org.apache.hc.client5.http.impl.classic.*;
import org.apache.hc.core5.http.ContentType;
import org.apache.hc.core5.http.io.entity.*;

public class ApacheClient {
    public static void main(String[] args) throws Exception {
        try (CloseableHttpClient client = HttpClients.createDefault()) {
            for (int i = 1; i < args.length; i += 3) {
                String[] proof = args[i + 1].split(": ", 2);
                byte[] body = Files.readAllBytes(Path.of(args[i + 2]));
                HttpPost post = new HttpPost(args[i]);
                post.setHeader(proof[0], proof[1]);
                post.setEntity(args[0].equals("sized")
                    ? new ByteArrayEntity(body, ContentType.APPLICATION_JSON)
                    : new InputStreamEntity(new ByteArrayInputStream(body), ContentType.APPLICATION_JSON));
                try (CloseableHttpResponse response = client.execute(post)) {
                    System.out.println(response.getCode() + " " + EntityUtils.toString(response.getEntity()));
                }
            }
        }
    }
}
