<?php
// PHP's clients, in their defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
$mode = $argv[1];
$curl = $mode === "curl" ? curl_init() : null;
for ($i = 2; $i < count($argv); $i += 3) {
    $body = file_get_contents($argv[$i + 2]);
    if ($curl) {
        curl_setopt_array($curl, [
            CURLOPT_URL => $argv[$i], CURLOPT_POST => true, CURLOPT_POSTFIELDS => $body,
            CURLOPT_HTTPHEADER => [$argv[$i + 1]], CURLOPT_RETURNTRANSFER => true,
        ]);
        $said = curl_exec($curl);
        echo curl_getinfo($curl, CURLINFO_RESPONSE_CODE), " ", $said, "\n";
    } else {
        $context = stream_context_create(["http" => [
            "method" => "POST", "header" => $argv[$i + 1], "content" => $body, "ignore_errors" => true,
        ]]);
        $said = file_get_contents($argv[$i], false, $context);
        echo explode(" ", $http_response_header[0])[1], " ", $said, "\n";
    }
}
