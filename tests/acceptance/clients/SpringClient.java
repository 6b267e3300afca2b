// Spring's RestTemplate in its defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
import java.io.ByteArrayInputStream;
import java.nio.file.*;
import java.util.Map;
import org.springframework.core.io.*;
import org.springframework.http.*;
import org.springframework.http.client.*;
import org.springframework.web.client.RestTemplate;

public class SpringClient {
    public static void main(String[] args) throws Exception {
        RestTemplate client = new RestTemplate();
        for (int i = 1; i < args.length; i += 3) {
            String[] proof = args[i + 1].split(": ", 2);
            byte[] body = Files.readAllBytes(Path.of(args[i + 2]));
            HttpHeaders headers = new HttpHeaders();
            headers.set(proof[0], proof[1]);
            Object sent = switch (args[0]) {
                case "bytes" -> body;
                case "text" -> {
                    headers.setContentType(MediaType.APPLICATION_JSON_UTF8);
                    yield new String(body, "UTF-8");
                }
                default -> throw new IllegalArgumentException(args[0]);
            };
            ResponseEntity<String> response =
                client.exchange(args[i], HttpMethod.POST, new HttpEntity<>(sent, headers), String.class);
            System.out.println(response.getStatusCodeValue() + " " + response.getBody());
        }
    }
}
