// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// threats are what attackers are expected to try, and the advisories about others who
// were not prepared for it, each with the tests that try it here. A test that is
// renamed or removed has to be replaced here.
var threats = []struct {
	threat string
	tests  string
}{
	{"forged or unsigned requests, and a missing secret that lets everyone in", "TestAttackerSignsWithTheEmptySecret TestAttackerLeavesTheSignatureOut TestAttackMissingSecretOpensNothing TestConfigurationsThatAreRefused TestJSONThatIsRefused TestSecretsThatAreRefused TestAnEmptySecretOpensGoGithubAndNothingHere"},
	{"the time that a comparison takes", "TestAttackerMeasuresComparisons TestAttackerMeasuresComparisonsHoweverTheyAreWritten"},
	{"another algorithm or version, and a key of no use", "TestAttackerChoosesTheAlgorithm TestAttackerSignsForADegeneratePublicKey TestJWTsThatAreRefused TestAPublicKeyIsNoSecretOfJWTs"},
	{"header fields that are there twice, and mixed families", "TestAttackerGivesAHeaderTwice TestAttackerMixesFamilies TestAttackRepeatedFields TestAttackerPutsTheSignatureIntoTheOtherFamily"},
	{"one signed text that is two messages", "TestAttackerMovesABoundary TestAttackerMovesTheBoundaryOfWhatIsSigned TestAttackerMovesDigitsOfATimestamp TestAttackerMovesTheEndsOfAnID TestATimestampIsNeverPrintedAgain"},
	{"a replay within the tolerance", "TestAttackReplayOfTheSignatureWrittenDifferently TestDuplicateIsKnownAfterRestart TestConfigurationsThatAreRefused"},
	{"a replay under another id that is not signed, or none", "TestAttackReplayOfWhatIsNotSigned TestReplayUnderNewDeliveryID TestAttackerReplaysUnderAnotherUnsignedID"},
	{"an id taken before its message comes", "TestRefusedRequestLeavesNoKey TestDuplicatesAreThoseOfOneEndpoint"},
	{"a token, and a body that is read before it is checked", "TestAttackUnverifiedBodies TestAttackBodyOf10GB"},
	{"what is delivered is not what was verified", "TestAttackRequestSmuggling TestAttackRequestInABodyThatIsNotRead TestAttackFieldsOfTheConnection TestAttackConnectionNamesFields TestConnectionOfSenderIsNotDelivered"},
	{"compressed bodies, and types that are not what they say", "TestAttackContentTypeConfusion"},
	{"large, slow and endless bodies, and header floods", "TestAttackSlowAndEndlessBodies TestAttackSlowBodies TestAttackBodiesOfOneEndpoint TestAttackBodyOf10GB TestAttackHeaderFlood TestAttackSlowHeads TestAttackStreamsOfHTTP2 TestAttackManyStreamsOfHTTP2 TestBodiesInFlightAreBounded TestFaultOverload"},
	{"forged fields of the inbox", "TestAttackForgedInboxFields TestAttackFieldsOfTheConnection TestSignatureReplacesAliasesOfTheSenders"},
	{"early data of TLS", "TestAttackReplayOfEarlyData TestAttackEarlyData"},
	{"deliveries to somewhere else", "TestAttackServerSideRequests TestAttackPlaceholders TestStatusesOfApplication TestDeliveryVerifiesTLSOfApplication"},
	{"secrets in logs", "TestSecretsAndBodiesAreNowhere TestErrorsSayNothingOfTheRequest TestLongAnswerLogsNoCredentials"},
	{"secrets in the configuration", "TestSecretsAndBodiesAreNowhere TestSignSecretsAreNotShown TestSecretsThatAreRefused"},
	{"the admin API", "TestAttackAdminPaths TestAttackAdminAPIFromABrowser TestAdminRefusesWhatItDoesNotKnow"},
	{"a page in a message", "TestAttackPageInAMessage"},
	{"what is kept of people", "TestDeliveredMessageIsKeptAsLongAsConfigured TestDeadLettersAreListedWithoutTheirContent"},
	{"labels, lines and paths that a sender writes", "TestAttackInjectionByASender TestAttackInjectionByAStranger TestAttackLogInjection TestSendersMakeNoMetrics"},
	{"malformed requests that crash", "FuzzSenders FuzzOwnSchemes FuzzJSONPath FuzzSignatureHeader FuzzJWT"},
	{"answers that tell what is right", "TestAttackRefusalsAsOracle TestDuplicateIsAnsweredLikeTheFirst"},
	{"a reload that opens a gap", "TestFailedReloadChangesNothing TestFaultReloadStorm TestFaultReloadWithARequestUnderWay TestAttackMissingSecretOpensNothing"},

	{"CVE-2024-21491: a prefix of a MAC verifies", "TestAttackerSendsAPrefixOfTheMAC TestOnlyAWholeMACMatches"},
	{"CVE-2025-53548: a list of signatures is not compared", "TestAttackerHidesInAListOfSignatures"},
	{"Svix for C#, Hookaido 2.11.0: the right signature is not the first, or the last", "TestAttackerHidesInAListOfSignatures"},
	{"go-github #2731 and others: a secret that is nil lets everyone in", "TestAnEmptySecretOpensGoGithubAndNothingHere TestAttackerSignsWithTheEmptySecret TestSecretsThatAreRefused"},
	{"CVE-2026-41432, CVE-2026-26319, GHSA-5v3w-hjh4-4q9q: no secret, no check", "TestAttackerSignsWithTheEmptySecret TestJSONThatIsRefused"},
	{"CVE-2026-21894, CVE-2026-33143, CVE-2026-39969, novu #11829: no signature, no check", "TestAttackerLeavesTheSignatureOut"},
	{"OpenClaw with Telnyx: a signature in other letters is another message", "TestAttackReplayOfTheSignatureWrittenDifferently TestAttackerWritesTheSignatureDifferently"},
	{"open-mercato #1343, first-tree SEC-021: no id, no deduplication", "TestAttackReplayOfWhatIsNotSigned TestWhatCountsAsDuplicate"},
	{"CVE-2026-41395, CVE-2026-32053: what identifies is not what is verified", "TestVariantsOfARequestFromTwilioAreDuplicates TestAttackReplayOfWhatIsNotSigned"},
	{"CVE-2026-42294, GHSA-rm59-992w-x2mv: a body without end", "TestAttackBodyOf10GB"},
	{"linear #1268: a timestamp that nobody signed", "TestConfigurationsThatAreRefused"},
	{"CVE-2022-43412 and others: a comparison that takes its time", "TestAttackerMeasuresComparisons"},
	{"elevenlabs #838: header fields that are not ASCII", "FuzzSignatureHeader FuzzStandard FuzzHMAC"},
	{"CVE-2026-40109: a token for somebody else", "TestJWTsThatAreRefused"},
	{"CVE-2026-21858: a body taken for a form", "TestAttackContentTypeConfusion"},
	{"CVE-2025-6454, formbricks #7877, GHSA-r2x7-427f-rq69, GHSA-g55x-rjfh-gxvm: a delivery goes where the attacker says, or follows him there", "TestAttackServerSideRequests TestAttackPlaceholders TestAttackInjectionByASender TestFaultApplication"},
	{"GHSA-r796-6hmg-f838: TLS that nobody verifies", "TestDeliveryVerifiesTLSOfApplication"},
	{"GHSA-9r4r-gfq7-995c: a placeholder reads a file", "TestAttackPlaceholders TestAttackMissingSecretOpensNothing"},
	{"GHSA-rcpp-44rf-jxvj: a reload takes the check from a request that is under way", "TestFaultReloadStorm TestFaultReloadWithARequestUnderWay"},
	{"GHSA-cmwq-5829-xw24: a nonce taken before the check", "TestRefusedRequestLeavesNoKey"},
	{"GHSA-cpfq-rj4r-hh5c: the right MAC in the log", "TestErrorsSayNothingOfTheRequest TestSecretsAndBodiesAreNowhere"},
	{"GHSA-q2r7-wm3j-xppw: a placeholder taken for the password", "TestAttackMissingSecretOpensNothing TestSecretsThatAreRefused"},
	{"CVE-2026-27586 to 27589, CVE-2026-52845: Caddy's own", "TestAttackOnAnOldCaddy TestAttackAdminAPIFromABrowser"},
}

func TestEveryThreatHasItsTests(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		source.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	declared := make(map[string]bool)
	for _, name := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(source.String(), -1) {
		declared[name[1]] = true
	}
	for _, c := range threats {
		for name := range strings.FieldsSeq(c.tests) {
			if !declared[name] {
				t.Errorf("%s: there is no %s", c.threat, name)
			}
		}
	}
}
