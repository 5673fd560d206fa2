import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;

/** A server with a thread for each connection, which answers every request with a file.  usage: Serve PORT FILE */
public class Serve {
	static void serve(Socket socket, byte[] body) {
		try (socket) {
			BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
			String line;
			do {
				line = in.readLine();
			} while (line != null && !line.isEmpty());
			String head = "HTTP/1.0 200 OK\r\nContent-Length: " + body.length + "\r\n\r\n";
			socket.getOutputStream().write(head.getBytes());
			socket.getOutputStream().write(body);
			socket.shutdownOutput();
		} catch (IOException e) {
			System.err.println(e);
		}
	}

	public static void main(String[] args) throws IOException {
		byte[] body = Files.readAllBytes(Path.of(args[1]));
		try (ServerSocket listener = new ServerSocket(Integer.parseInt(args[0]))) {
			while (true) {
				Socket socket = listener.accept();
				new Thread(() -> serve(socket, body)).start();
			}
		}
	}
}
