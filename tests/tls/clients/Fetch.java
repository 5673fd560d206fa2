import java.io.IOException;
import java.io.InputStream;
import java.net.URL;

/** URLConnection, the body of /hello?$MARKER.  usage: Fetch HOST PORT */
public class Fetch {
	public static void main(String[] args) throws IOException {
		URL url = new URL("http", args[0], Integer.parseInt(args[1]), "/hello?" + System.getenv("MARKER"));
		try (InputStream body = url.openStream()) {
			body.transferTo(System.out);
		}
		System.out.flush();
	}
}
