// A service in Node behind obo-gateway: it holds no secret, checks no token, and asks Azure as the user.
//
// What comes is let in already: Authorization has the user's token for Azure Resource Manager, X-Obo-Oid says whose.

import { createServer } from "node:http";

const arm = process.env.ARM_URL ?? "https://management.azure.com";

createServer(async (request, response) => {
  const answer = (status, body, headers = {}) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  try {
    if (request.url === "/healthz") return answer(200, { status: "ok" });
    const asked = await fetch(`${arm}/subscriptions?api-version=2022-12-01`, {
      headers: { authorization: request.headers.authorization },
      signal: AbortSignal.timeout(30_000),
    });
    if (!asked.ok) {
      // Azure's challenge has to reach the caller, who alone can answer it: the gateway passes it on.
      const challenge = asked.headers.get("www-authenticate");
      return answer(asked.status, { error: "azure" }, challenge ? { "www-authenticate": challenge } : {});
    }
    const { value } = await asked.json();
    answer(200, { user: request.headers["x-obo-oid"], subscriptions: value.map((each) => each.displayName) });
  } catch (error) {
    console.error(error);
    answer(502, { error: "azure" });
  }
  // Loopback alone: whoever reached it past the gateway would not be checked.
}).listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
