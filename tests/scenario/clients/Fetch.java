import java.io.IOException;
import java.net.Socket;

/** new Socket(host, port), then an HTTP request for /hello.  usage: Fetch HOST PORT */
public class Fetch {
	/** Loads the classes, so that their loading is not measured. */
	private static void warmUp() {
		try (Socket s = new Socket("127.0.0.1", 1)) {
			System.err.println("warm");
		} catch (IOException e) {
			System.err.println("cold");
		}
	}

	public static void main(String[] args) throws IOException {
		warmUp();
		long start = System.nanoTime();
		try (Socket s = new Socket(args[0], Integer.parseInt(args[1]))) {
			System.err.println("connect " + (System.nanoTime() - start) / 1000000);
			s.getOutputStream().write("GET /hello HTTP/1.0\r\n\r\n".getBytes());
			s.getInputStream().transferTo(System.out);
			System.out.flush();
		}
	}
}
