<?php
// Posts files with PHP's own client in its defaults: post.php URL (FILE SIGNATURE)...
foreach (array_chunk(array_slice($argv, 2), 2) as [$file, $signature]) {
    $headers = ["Content-Type: application/json", "X-Signature: $signature"];
    $http = ["method" => "POST", "header" => $headers, "content" => file_get_contents($file)];
    file_get_contents($argv[1], false, stream_context_create(["http" => $http]));
    echo explode(" ", $http_response_header[0])[1], "\n";
}
