// A service's own test with msal-node: a user's token becomes one for Azure Resource Manager.
//
//     npm install @azure/msal-node
//     examples/with-emulator node examples/on_behalf_of.mjs

import assert from "node:assert/strict";
import { ConfidentialClientApplication } from "@azure/msal-node";

const { EMULATOR_URL: entra, EMULATOR_ARM_URL: arm } = process.env;
const tenant = "c0a70500-0000-4000-8000-000000000001";

/** The emulator's control API. */
async function control(method, path, body) {
  const answer = await fetch(`${entra}/emulator/${path}`, {
    method,
    headers: { "X-Entra-Emulator": "1", "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.status === 204 ? undefined : answer.json();
}

/** What a service does with the token of its caller. */
async function exchange(oboAssertion) {
  const app = new ConfidentialClientApplication({
    auth: {
      clientId: "a9100000-0000-4000-8000-00000000000a",
      clientSecret: "emulator-api-secret",
      authority: `${entra}/${tenant}`,
      knownAuthorities: [new URL(entra).host],
    },
  });
  const scopes = ["https://management.azure.com/user_impersonation"];
  return app.acquireTokenOnBehalfOf({ oboAssertion, scopes });
}

const alice = await control("POST", "token", { user: "alice" });
const { accessToken } = await exchange(alice.token);
const answer = await fetch(`${arm}/subscriptions?api-version=2022-12-01`, {
  headers: { Authorization: `Bearer ${accessToken}` },
});
const names = (await answer.json()).value.map((one) => one.displayName);
assert.deepEqual(names, ["Alice Production", "Alice Sandbox"]);

// What goes wrong is part of the test: Carol needs a second factor.
const carol = await control("POST", "token", { user: "carol" });
await assert.rejects(exchange(carol.token), (error) => Boolean(error.claims));

// And what the service asked is there to be looked at.
const last = (await control("GET", "token-requests")).at(-1);
assert.equal(last.refused.code, 50076);
console.log(`Node: ${names.join(", ")}`);
