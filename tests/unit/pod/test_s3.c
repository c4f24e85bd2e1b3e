/* The four examples of AWS's "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk". */
#include "../../lib/test.h"
#include "base/mem.h"
#include "pod/s3.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DATE "20130524T000000Z"
#define HOST "examplebucket.s3.amazonaws.com"

static void published_signatures(void **state)
{
	static const struct {
		const char *method, *path, *query, *sha256;
		struct s3_header headers[6];
		size_t count;
		const char *names, *signature;
	} cases[] = {
		{"GET", "/test.txt", "", EMPTY,
		 {{"host", HOST}, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}}, 4,
		 "host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"PUT", "/test%24file.text", "", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
		 {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"host", HOST},
		  {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}, {"x-amz-date", DATE},
		  {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}, 5,
		 "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{"GET", "/", "lifecycle=", EMPTY, {{"host", HOST}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}}, 3,
		 "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"GET", "/", "max-keys=2&prefix=J", EMPTY, {{"host", HOST}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}}, 3,
		 "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct s3_signing s = {.method = cases[i].method, .path = cases[i].path, .query = cases[i].query, .headers = cases[i].headers,
				       .header_count = cases[i].count, .payload_sha256 = cases[i].sha256, .date = DATE, .region = "us-east-1",
				       .access_key = "AKIAIOSFODNN7EXAMPLE", .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
		char got[1024], want[1024];

		assert_true(s3_sign(&s, got, sizeof(got)));
		snprintf(want, sizeof(want), "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=%s,Signature=%s",
			 cases[i].names, cases[i].signature);
		assert_string_equal(got, want);
		assert_false(s3_sign(&s, got, 64));
	}
}

static void encoding(void **state)
{
	char out[64] = "/", small[8] = "";

	assert_true(s3_encode(out, sizeof(out), "test$file.text", true));
	assert_string_equal(out, "/test%24file.text");
	out[0] = '\0';
	assert_true(s3_encode(out, sizeof(out), "a/b c+~", false));
	assert_string_equal(out, "a%2Fb%20c%2B~");
	assert_false(s3_encode(small, sizeof(small), "a longer text", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(published_signatures), cmocka_unit_test(encoding)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
