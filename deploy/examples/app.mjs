// A service in Node behind obo-gateway: it holds no secret, checks no token, and asks Azure as the user.
//
// What comes is let in already: Authorization has the user's token for Azure Resource Manager, X-Obo-Oid says whose.

import { createServer } from "node:http";

const arm = (process.env.ARM_URL ?? "https://management.azure.com").replace(/\/+$/, "");

createServer(async (request, response) => {
  const answer = (status, body, headers = {}) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  try {
    if (request.url === "/healthz") return answer(200, { status: "ok" });
    const names = [];
    // Azure answers in pages.
    for (let url = `${arm}/subscriptions?api-version=2022-12-01`; url; ) {
      // The token is for Azure alone, wherever a page or a redirect points.
      if (!url.startsWith(`${arm}/`)) throw new Error("the next page is elsewhere");
      const asked = await fetch(url, {
        headers: { authorization: request.headers.authorization },
        redirect: "error",
        signal: AbortSignal.timeout(30_000),
      });
      if (!asked.ok) {
        // Azure's challenge has to reach the caller, who alone can answer it: the gateway passes it on. So has the time to wait.
        const passedOn = ["www-authenticate", "retry-after"].filter((name) => asked.headers.has(name));
        return answer(asked.status, { error: "azure" }, Object.fromEntries(passedOn.map((name) => [name, asked.headers.get(name)])));
      }
      const page = await asked.json();
      names.push(...page.value.map((each) => each.displayName));
      url = page.nextLink;
    }
    answer(200, { user: request.headers["x-obo-oid"], subscriptions: names });
  } catch (error) {
    // Away, too slow, cut off, or no such list.
    console.error(error);
    answer(502, { error: "azure" });
  }
  // Loopback alone: whoever reached it past the gateway would not be checked.
}).listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
