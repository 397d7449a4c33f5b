// A service in Java behind obo-gateway: it holds no secret, checks no token, and asks Azure as the user.
//
// What comes is let in already: Authorization has the user's token for Azure Resource Manager, X-Obo-Oid says whose.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;

public class App {
    static final String ARM = System.getenv().getOrDefault("ARM_URL", "https://management.azure.com");
    // It follows no redirect, which would take the user's token along to wherever it points.
    static final HttpClient CLIENT = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NEVER).build();

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "3000"));
        // Loopback alone: whoever reached it past the gateway would not be checked.
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/healthz", exchange -> answer(exchange, 200, "{\"status\":\"ok\"}"));
        server.createContext("/", App::subscriptions);
        server.start();
    }

    static void subscriptions(HttpExchange exchange) throws IOException {
        var request = HttpRequest.newBuilder(URI.create(ARM + "/subscriptions?api-version=2022-12-01"))
            .header("Authorization", exchange.getRequestHeaders().getFirst("Authorization"))
            .timeout(Duration.ofSeconds(30))
            .build();
        try {
            var azure = CLIENT.send(request, BodyHandlers.ofString());
            if (azure.statusCode() != 200) {
                // Azure's challenge has to reach the caller, who alone can answer it: the gateway passes it on. So has the time to wait.
                for (var name : List.of("WWW-Authenticate", "Retry-After"))
                    for (var value : azure.headers().allValues(name))
                        exchange.getResponseHeaders().add(name, value);
                answer(exchange, azure.statusCode() < 400 ? 502 : azure.statusCode(), "{\"error\":\"azure\"}");
                return;
            }
            var user = exchange.getRequestHeaders().getFirst("X-Obo-Oid");
            // The JDK reads no JSON: this is Azure's first page as it came. Whoever reads it follows `nextLink`, where that is at Azure.
            answer(exchange, 200, "{\"user\":\"" + user + "\",\"subscriptions\":" + azure.body() + "}");
        } catch (IOException error) {
            // Away, too slow, or cut off.
            System.err.println(error);
            answer(exchange, 502, "{\"error\":\"azure\"}");
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            answer(exchange, 502, "{\"error\":\"azure\"}");
        }
    }

    static void answer(HttpExchange exchange, int status, String text) throws IOException {
        var body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, body.length);
        try (var stream = exchange.getResponseBody()) {
            stream.write(body);
        }
    }
}
