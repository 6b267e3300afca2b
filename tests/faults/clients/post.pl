# Posts files with Perl's own client in its defaults: post.pl URL (FILE SIGNATURE)...
use strict;
use HTTP::Tiny;

my ($url, %signatures) = @ARGV;
my $http = HTTP::Tiny->new;
for my $file (sort keys %signatures) {
    open my $in, '<:raw', $file or die;
    my $body = do { local $/; <$in> };
    my $headers = { 'Content-Type' => 'application/json', 'X-Signature' => $signatures{$file} };
    print $http->post($url, { headers => $headers, content => $body })->{status}, "\n";
}
