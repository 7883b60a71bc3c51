"""One step of LoRA fine-tuning of a small transformer with random weights: only the adapters change."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=64, vocab_size=256, n_positions=64))
tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["c_attn"], fan_in_fan_out=True))
trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
frozen = {name: value.clone() for name, value in tuned.named_parameters() if not value.requires_grad}
optimiser = torch.optim.AdamW(trained, lr=1e-2)
tokens = torch.randint(0, 256, (4, 32))

losses = []
for _ in range(5):
    loss = tuned(input_ids=tokens, labels=tokens).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    losses.append(loss.item())

assert losses[-1] < losses[0], losses
assert all(torch.equal(value, frozen[name]) for name, value in tuned.named_parameters() if name in frozen)
device = "cuda" if torch.cuda.is_available() else "cpu"
share = sum(one.numel() for one in trained) / sum(one.numel() for one in tuned.parameters())
print(f"torch {torch.__version__} on {device}: loss {losses[0]:.3f} -> {losses[-1]:.3f}, {share:.1%} trained")
