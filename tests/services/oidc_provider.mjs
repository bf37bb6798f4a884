// An OpenID provider for tests: node oidc_provider.mjs SETTINGS.json. Anybody logs in with any password.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const issuer = `http://127.0.0.1:${settings.port}`;

const provider = new Provider(issuer, {
  clients: settings.clients,
  jwks: { keys: settings.keys },
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  scopes: ["openid", "profile", "email", "groups", "offline_access"],
  conformIdTokenClaims: settings.lean,
  cookies: { keys: ["a key of the tests"] },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  ttl: { AccessToken: 600, AuthorizationCode: 60, DeviceCode: 120, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
  async findAccount(_context, sub) {
    const known = settings.accounts[sub] ?? {};
    return {
      accountId: sub,
      claims: async () => ({ sub, preferred_username: sub, name: sub, email: `${sub}@example.org`, email_verified: true, groups: [], ...known }),
    };
  },
});
provider.listen(settings.port, "127.0.0.1");
