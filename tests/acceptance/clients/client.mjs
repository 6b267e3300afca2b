// Node's own clients, in their defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
import fs from "node:fs";
import http from "node:http";

const [mode, ...rest] = process.argv.slice(2);

async function viaFetch(url, headers, body) {
  const response = await fetch(url, { method: "POST", headers, body, duplex: "half" });
  return `${response.status} ${await response.text()}`;
}

function viaRequest(url, headers, body, chunked) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: "POST", headers }, (response) => {
      let said = "";
      response.on("data", (piece) => (said += piece));
      response.on("end", () => resolve(`${response.statusCode} ${said}`));
    });
    request.on("error", reject);
    if (chunked) {
      for (let start = 0; start < body.length; start += 1000) request.write(body.subarray(start, start + 1000));
      request.end();
    } else {
      request.end(body);
    }
  });
}

for (let i = 0; i < rest.length; i += 3) {
  const [name, value] = rest[i + 1].split(": ");
  const body = fs.readFileSync(rest[i + 2]);
  const headers = { [name]: value };
  if (mode === "fetch") console.log(await viaFetch(rest[i], headers, body));
  else if (mode === "fetch-stream") console.log(await viaFetch(rest[i], headers, new Blob([body]).stream()));
  else console.log(await viaRequest(rest[i], headers, body, mode === "request-chunked"));
}
