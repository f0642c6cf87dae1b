"""Models of the transformers package, of the sizes that its own tests use: two layers, random weights, seeded."""

import torch
import transformers
from transformers.cache_utils import DynamicCache

LAYERS = 2
SIZES = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 64}


def seeded(make, seed=0):
    """Return what a function makes, in eval mode; the random state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def bert():
    """BERT as it is: called by names, and it returns a structure."""
    config = transformers.BertConfig(vocab_size=100, max_position_embeddings=48, **SIZES)
    return seeded(lambda: transformers.BertModel(config))


class BertTokens(torch.nn.Module):
    """BERT behind positions and tensors, which every exporter takes."""

    def __init__(self):
        super().__init__()
        self.bert = bert()

    def forward(self, ids, mask):
        found = self.bert(input_ids=ids, attention_mask=mask)
        return found.last_hidden_state, found.pooler_output


def bert_tokens():
    return seeded(BertTokens)


class Gpt2Logits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        config = transformers.GPT2Config(
            vocab_size=100, n_positions=64, n_embd=32, n_layer=LAYERS, n_head=4, use_cache=False
        )
        self.gpt2 = transformers.GPT2LMHeadModel(config)

    def forward(self, ids):
        return self.gpt2(input_ids=ids).logits


def gpt2():
    return seeded(Gpt2Logits)


class LlamaStep(torch.nn.Module):
    """One step of generation: new tokens, and the keys and values of those before them, layer by layer."""

    def __init__(self):
        super().__init__()
        config = transformers.LlamaConfig(
            vocab_size=100, max_position_embeddings=64, num_key_value_heads=2, **SIZES
        )
        self.llama = transformers.LlamaForCausalLM(config)

    def forward(self, ids, first_keys, first_values, second_keys, second_values):
        cache = DynamicCache()
        cache.update(first_keys, first_values, 0)
        cache.update(second_keys, second_values, 1)
        found = self.llama(input_ids=ids, past_key_values=cache, use_cache=True)
        layers = found.past_key_values.layers
        return found.logits, *(tensor for layer in layers for tensor in (layer.keys, layer.values))


def llama_with_cache():
    return seeded(LlamaStep)


class T5Logits(torch.nn.Module):
    """Encoder and decoder, with relative position buckets in both."""

    def __init__(self):
        super().__init__()
        config = transformers.T5Config(
            vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=LAYERS, num_heads=4, use_cache=False
        )
        self.t5 = transformers.T5ForConditionalGeneration(config)

    def forward(self, ids, decoder_ids):
        return self.t5(input_ids=ids, decoder_input_ids=decoder_ids).logits


def t5():
    """T5 as one freezes it for export: finding 36 of docs/findings.md keeps the other from being exported."""
    return seeded(T5Logits).requires_grad_(False)


class VitFeatures(torch.nn.Module):
    def __init__(self):
        super().__init__()
        config = transformers.ViTConfig(image_size=32, patch_size=8, **SIZES)
        self.vit = transformers.ViTModel(config)

    def forward(self, image):
        found = self.vit(pixel_values=image)
        return found.last_hidden_state, found.pooler_output


def vit():
    return seeded(VitFeatures)


class WhisperFeatures(torch.nn.Module):
    def __init__(self):
        super().__init__()
        config = transformers.WhisperConfig(
            vocab_size=100,
            num_mel_bins=16,
            d_model=32,
            encoder_layers=LAYERS,
            encoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_layers=1,
            decoder_attention_heads=4,
            decoder_ffn_dim=64,
            max_source_positions=30,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
        self.whisper = transformers.WhisperModel(config).get_encoder()

    def forward(self, mel):
        return self.whisper(mel).last_hidden_state


def whisper_encoder():
    return seeded(WhisperFeatures)
