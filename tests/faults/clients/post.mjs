// Posts files with Node's own client in its defaults: post.mjs URL (FILE SIGNATURE)...
import { readFileSync } from "node:fs";

const [url, ...pairs] = process.argv.slice(2);
for (let at = 0; at < pairs.length; at += 2) {
  const headers = { "Content-Type": "application/json", "X-Signature": pairs[at + 1] };
  const answer = await fetch(url, { method: "POST", headers, body: readFileSync(pairs[at]) });
  await answer.text();
  console.log(answer.status);
}
