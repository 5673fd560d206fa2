import com.sun.net.httpserver.HttpServer;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;

/** usage: Session server PORT | Session client HOST PORT */
public class Session {
	static void server(int port) throws Exception {
		HttpServer server = HttpServer.create(new InetSocketAddress(port), 100);
		server.createContext("/", exchange -> {
			byte[] body = exchange.getRequestMethod().equals("POST")
				? exchange.getRequestBody().readAllBytes() : "the right bytes".getBytes();
			exchange.sendResponseHeaders(200, body.length);
			exchange.getResponseBody().write(body);
			exchange.close();
		});
		server.setExecutor(Executors.newFixedThreadPool(8));
		server.start();
	}

	static String url(String host, String port) {
		return "http://" + host + ":" + port + "/";
	}

	static void streams(String host, String port) throws Exception {
		HttpURLConnection c = (HttpURLConnection) new URL(url(host, port)).openConnection();
		System.out.println("HttpURLConnection " + new String(c.getInputStream().readAllBytes()));
		byte[] body = new byte[2000000];
		new Random(1).nextBytes(body);
		c = (HttpURLConnection) new URL(url(host, port)).openConnection();
		c.setDoOutput(true);
		c.getOutputStream().write(body);
		System.out.println("posted " + Arrays.equals(body, c.getInputStream().readAllBytes()));
		try (Socket s = new Socket()) {
			s.connect(new InetSocketAddress(host, Integer.parseInt(port)), 20000);
			s.setSoTimeout(300);
			try {
				System.out.println("read " + s.getInputStream().read());
			} catch (java.net.SocketTimeoutException e) {
				System.out.println("read timed out");
			}
		}
		try (Socket s = new Socket("192.0.2.77", 80)) {
			System.out.println("connected");
		} catch (java.net.ConnectException e) {
			System.out.println(e.getMessage());
		}
	}

	static void asynchronous(String host, String port) throws Exception {
		HttpClient client = HttpClient.newHttpClient();
		HttpRequest request = HttpRequest.newBuilder(URI.create(url(host, port))).build();
		CompletableFuture<?>[] all = new CompletableFuture<?>[30];
		for (int i = 0; i < all.length; i++)
			all[i] = client.sendAsync(request, BodyHandlers.ofString()).thenApply(r -> r.body());
		CompletableFuture.allOf(all).get();
		int right = 0;
		for (CompletableFuture<?> one : all)
			if (one.get().equals("the right bytes"))
				right++;
		System.out.println("HttpClient " + right);
	}

	static void channel(String host, String port) throws Exception {
		Selector selector = Selector.open();
		SocketChannel channel = SocketChannel.open();
		channel.configureBlocking(false);
		channel.register(selector, SelectionKey.OP_CONNECT);
		if (!channel.connect(new InetSocketAddress(host, Integer.parseInt(port)))) {
			selector.select(20000);
			System.out.println("finished " + channel.finishConnect());
		} else {
			System.out.println("finished true");
		}
		channel.write(ByteBuffer.wrap("GET / HTTP/1.0\r\n\r\n".getBytes()));
		channel.keyFor(selector).interestOps(SelectionKey.OP_READ);
		ByteBuffer buffer = ByteBuffer.allocate(4096);
		do {
			selector.select(20000);
			selector.selectedKeys().clear();
		} while (channel.read(buffer) >= 0);
		String text = new String(buffer.array(), 0, buffer.position());
		System.out.println("channel " + text.substring(text.indexOf("\r\n\r\n") + 4));
	}

	public static void main(String[] args) throws Exception {
		if (args[0].equals("server")) {
			server(Integer.parseInt(args[1]));
			return;
		}
		streams(args[1], args[2]);
		asynchronous(args[1], args[2]);
		channel(args[1], args[2]);
		System.exit(0);
	}
}
